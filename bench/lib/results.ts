// The files that a run leaves.
import { writeFile } from 'node:fs/promises'
import { format, resolveConfig } from 'prettier'
import { load, machine } from './machine.ts'
import { verdict, type Outcome, type Point } from './outcome.ts'
import { PLOT, RESULTS } from './paths.ts'
import { plot } from './plot.ts'
import type { Effort } from './step.ts'

/** What a run found. */
export interface Results {
  effort: Effort
  loadBefore: number
  outcomes: Outcome[]
  points: Point[]
}

/** Writes the results, and the plot if everything it shows was measured. */
export async function save({ effort, loadBefore, outcomes, points }: Results): Promise<void> {
  const judged = outcomes.map((outcome) => ({ ...outcome, verdict: verdict(outcome) }))
  const loadAverage = { before: loadBefore, after: load() }
  const results = { date: new Date().toISOString(), machine: machine(), loadAverage, effort, outcomes: judged, points }
  const json = JSON.stringify(results, (_, value: unknown) => (typeof value === 'number' ? rounded(value) : value))
  await writeFile(RESULTS, await format(json, { ...(await resolveConfig(RESULTS)), parser: 'json' }))
  if (points.length > 0) await writeFile(PLOT, `${await plot(points)}\n`)
}

/** More digits than a measurement has would only make differences between runs hard to read. */
function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(5))
}
