// A line of the table that compares this package with one other server under the same load.
import { duel, type Kind, type Sample, type Side } from '../lib/duel.ts'
import { ratios, type Limit } from '../lib/outcome.ts'
import { duration, reasonMissing, type Effort, type Missing, type Step } from '../lib/step.ts'

/** What to compare. */
export interface Comparison {
  what: string
  unit: string
  quantity: (sample: Sample) => number
  ours: Side
  theirs: Side
  kind: Kind
  limit?: Limit
}

/** The step that carries it out. */
export function comparison(asked: Comparison, effort: Effort, missing: Missing): Step {
  const { what, unit, quantity, ours, theirs, kind, limit } = asked
  const names = [ours.spec.name, theirs.spec.name]
  const line = { what, against: theirs.spec.name, unit: 'ratio', ...(limit && { limit }) }
  return {
    name: `${what}, against ${theirs.spec.name}`,
    seconds: duration(2, effort),
    async run() {
      const skipped = reasonMissing(missing, ours.spec, theirs.spec)
      if (skipped !== undefined) return { outcomes: [{ ...line, skipped }] }
      const { samples, voided } = await duel([ours, theirs], kind, effort)
      const pairs = samples.map((round) => round.map(quantity))
      return { outcomes: [{ ...line, voided, ...ratios(pairs, names, unit) }] }
    },
  }
}
