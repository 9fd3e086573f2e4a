// Measures everything, prints a table, and writes results.json and results.svg.

import { build, missing } from './lib/build.ts'
import { HELP, asked } from './lib/options.ts'
import type { Findings, Step } from './lib/outcome.ts'
import { loadAverage, save, table } from './lib/report.ts'
import { idleRows, syscallRow } from './rows/alone.ts'
import { comparisons, pollingRows } from './rows/comparisons.ts'
import { nodeRows } from './rows/node.ts'
import { sweeps } from './rows/sweeps.ts'

/** The lines with limits first. */
const ALL = [syscallRow, ...comparisons, ...idleRows, ...nodeRows, ...pollingRows, ...sweeps]

const STEPS = ALL.filter(({ name }) => name.includes(asked.only))

/** Carries out all steps, one after the other, and says on stderr which one and how long the rest may take. */
async function carryOutAll(): Promise<Required<Findings>> {
  const all: Required<Findings> = { outcomes: [], points: [] }
  const begin = performance.now()
  for (const [done, step] of STEPS.entries()) {
    const minutes = (((performance.now() - begin) / done) * (STEPS.length - done)) / 60_000
    const left = done > 0 ? `; about ${minutes.toFixed(1)} min left` : ''
    process.stderr.write(`[${done + 1}/${STEPS.length}] ${step.name}${left}\n`)
    const { outcomes = [], points = [] } = await carryOut(step)
    all.outcomes.push(...outcomes)
    all.points.push(...points)
  }
  return all
}

/** One step that fails must not cost the results of the others. */
async function carryOut(step: Step): Promise<Findings> {
  const line = { what: step.name, unit: '' }
  const skipped = step.needs.map((what) => missing.get(what)).find((reason) => reason !== undefined)
  if (skipped !== undefined) return { outcomes: [{ ...line, skipped }] }
  return step.run().catch((error: unknown) => ({ outcomes: [{ ...line, failed: String(error) }] }))
}

/** Whether everything could be measured; what it came to is for the reader to judge. */
async function main(): Promise<boolean> {
  await build(!asked['no-build'])
  const before = loadAverage()
  const findings = await carryOutAll()
  console.log(await table(findings.outcomes))
  console.log(`load average: ${before} before, ${loadAverage()} after`)
  for (const [name, reason] of missing) console.log(`skipped: ${name}, ${reason}`)
  if (asked.only === '' && asked.options === undefined) await save(findings, before)
  return findings.outcomes.every(({ failed }) => failed === undefined)
}

if (asked.help) console.log(HELP)
else if (asked.list) for (const { name } of STEPS) console.log(name)
else process.exitCode = (await main()) ? 0 : 1
