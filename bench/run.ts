// Measures everything, prints a table, and writes results.json and results.svg.
import { HELP, asked } from './lib/arguments.ts'
import { build } from './lib/build.ts'
import { load } from './lib/machine.ts'
import type { Outcome, Point } from './lib/outcome.ts'
import { FULL, QUICK, plan } from './lib/plan.ts'
import { Progress } from './lib/progress.ts'
import { save } from './lib/results.ts'
import { table } from './lib/table.ts'
import type { Effort, Findings, Step } from './lib/step.ts'

function effort(): Effort {
  const chosen = { ...(asked.quick ? QUICK : FULL) }
  if (asked.rounds !== undefined) chosen.rounds = Number(asked.rounds)
  if (asked.seconds !== undefined) chosen.seconds = Number(asked.seconds)
  if (!(chosen.rounds >= 1 && chosen.seconds > 0)) throw new Error('--rounds and --seconds must be positive numbers')
  return chosen
}

async function carryOut(steps: Step[]): Promise<{ outcomes: Outcome[]; points: Point[] }> {
  const outcomes: Outcome[] = []
  const points: Point[] = []
  const progress = new Progress(steps)
  for (const step of steps) {
    progress.next(step)
    const findings = await step.run().catch((error: unknown) => failure(step, error))
    outcomes.push(...(findings.outcomes ?? []))
    points.push(...(findings.points ?? []))
  }
  progress.clear()
  return { outcomes, points }
}

/** One step that fails must not cost the results of the others. */
function failure({ name }: Step, error: unknown): Findings {
  return { outcomes: [{ what: name, unit: '', failed: String(error) }] }
}

/** Whether everything could be measured; what it came to is for the reader to judge. */
async function main(): Promise<boolean> {
  const chosen = effort()
  const missing = await build(!asked['no-build'])
  const steps = plan(chosen, missing).filter(({ name }) => name.includes(asked.only))
  const loadBefore = load()
  const { outcomes, points } = await carryOut(steps)
  console.log(table(outcomes))
  console.log(`\nload average: ${loadBefore} before, ${load()} after`)
  for (const [name, reason] of missing) console.log(`skipped: ${name}, ${reason}`)
  if (asked.only === '' && asked.options === undefined) await save({ effort: chosen, loadBefore, outcomes, points })
  return outcomes.every(({ failed }) => failed === undefined)
}

let good = true
if (asked.help) console.log(HELP)
else if (asked.list) for (const { name } of plan(effort(), new Map())) console.log(name)
else good = await main()
// The children's pipes may still be open.
process.exit(good ? 0 : 1)
