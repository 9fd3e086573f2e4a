// What a run leaves: a table, results.json and results.svg.

import { writeFile } from 'node:fs/promises'
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'

import { format, resolveConfig } from 'prettier'

import { at } from '../../support/paths.ts'
import { effort } from './options.ts'
import { verdict, type Findings, type Outcome } from './outcome.ts'
import { plot } from './plot.ts'

const RESULTS = at('bench/results.json')
const HEAD = ['what', 'against', 'limit', 'median', 'range', 'here: ours, theirs', 'verdict']

/** The results in Markdown, one line per outcome. */
export function table(outcomes: readonly Outcome[]): Promise<string> {
  const rows = [HEAD, HEAD.map(() => '-'), ...outcomes.map(cells)]
  return format(rows.map((row) => `| ${row.join(' | ')} |`).join('\n'), { parser: 'markdown' })
}

function cells(outcome: Outcome): string[] {
  const { what, against = '', limit, value, unit, measured = [], skipped, failed } = outcome
  const suffix = unit === 'ratio' ? '' : ` ${unit}`
  return [
    what,
    against,
    limit === undefined ? '' : `${limit.at === 'most' ? '<=' : '>='} ${limit.value}${suffix}`,
    value === undefined ? '' : `${short(value.median)}${suffix}`,
    value === undefined || value.min === value.max ? '' : `${short(value.min)} to ${short(value.max)}`,
    failed ?? skipped ?? measured.map(({ spread, unit: of }) => `${short(spread.median)} ${of}`).join(', '),
    verdict(outcome),
  ]
}

/** Three significant digits. */
function short(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)))
}

/** Writes the results, and the plot if there is anything to plot. */
export async function save({ outcomes = [], points = [] }: Findings, loadBefore: number): Promise<void> {
  const judged = outcomes.map((outcome) => ({ ...outcome, verdict: verdict(outcome) }))
  const average = { before: loadBefore, after: loadAverage() }
  const results = { date: new Date(), machine: machine(), loadAverage: average, effort, outcomes: judged, points }
  const json = JSON.stringify(results, (_, value: unknown) => (typeof value === 'number' ? rounded(value) : value))
  await writeFile(RESULTS, await format(json, { ...(await resolveConfig(RESULTS)), parser: 'json' }))
  if (points.length > 0) await writeFile(at('bench/results.svg'), `${await plot(points)}\n`)
}

/** More digits than a measurement has would only make differences between runs hard to read. */
function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(5))
}

/** What a reader must know of the machine. */
function machine(): Record<string, string | number> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
  }
}

/** The load average of the last minute, to two places. */
export function loadAverage(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100
}
