// Measures everything, prints a table, and writes results.json and results.svg.
import { parseArgs } from 'node:util'
import { build } from './lib/build.ts'
import { load } from './lib/machine.ts'
import type { Outcome, Point } from './lib/outcome.ts'
import { FULL, QUICK, plan } from './lib/plan.ts'
import { Progress } from './lib/progress.ts'
import { save } from './lib/results.ts'
import { table } from './lib/table.ts'
import type { Step } from './lib/step.ts'

const HELP = `Usage: npm run bench -- [options]

  --quick          two minutes in all: enough to see what is broken, not to compare
  --only TEXT      only the steps whose name contains TEXT; writes no files
  --rounds N       rounds of each comparison, ${FULL.rounds} by default
  --seconds S      length of one sample, ${FULL.seconds} by default
  --no-build       measures what is built already
  --list           the names of the steps
`

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    'no-build': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

function effort() {
  const chosen = { ...(values.quick ? QUICK : FULL) }
  if (values.rounds !== undefined) chosen.rounds = Number(values.rounds)
  if (values.seconds !== undefined) chosen.seconds = Number(values.seconds)
  if (!(chosen.rounds >= 1 && chosen.seconds > 0)) throw new Error('--rounds and --seconds must be positive numbers')
  return chosen
}

async function carryOut(steps: Step[]): Promise<{ outcomes: Outcome[]; points: Point[] }> {
  const outcomes: Outcome[] = []
  const points: Point[] = []
  const progress = new Progress(steps)
  for (const step of steps) {
    progress.next(step)
    const findings = await step.run().catch((error: unknown) => failed(step, error))
    outcomes.push(...(findings.outcomes ?? []))
    points.push(...(findings.points ?? []))
  }
  progress.clear()
  return { outcomes, points }
}

/** One step that fails must not cost the results of the others. */
function failed({ name }: Step, error: unknown): { outcomes: Outcome[]; points?: Point[] } {
  return { outcomes: [{ what: name, unit: '', skipped: `failed: ${String(error)}` }] }
}

async function main(): Promise<void> {
  const chosen = effort()
  const missing = await build(!values['no-build'])
  const steps = plan(chosen, missing).filter(({ name }) => name.includes(values.only))
  const loadBefore = load()
  const { outcomes, points } = await carryOut(steps)
  console.log(table(outcomes))
  console.log(`\nload average: ${loadBefore} before, ${load()} after`)
  for (const [name, reason] of missing) console.log(`skipped: ${name}, ${reason}`)
  if (values.only === '') await save({ effort: chosen, loadBefore, outcomes, points })
}

if (values.help) console.log(HELP)
else if (values.list) for (const { name } of plan(effort(), new Map())) console.log(name)
else await main()
// The children's pipes may still be open.
process.exit()
