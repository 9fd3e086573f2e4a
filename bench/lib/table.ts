// The results as a table that reads well as it is and in Markdown.
import { verdict, type Outcome } from './outcome.ts'
import type { Spread } from './statistics.ts'

const HEAD = ['what', 'against', 'limit', 'median', 'range', 'here: ours, theirs', 'verdict']

/** One line an outcome. */
export function table(outcomes: readonly Outcome[]): string {
  const rows = [HEAD, ...outcomes.map(cells)]
  const widths = HEAD.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  const lines = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column]!)).join(' | ')} |`)
  lines.splice(1, 0, `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`)
  return lines.join('\n')
}

function cells(outcome: Outcome): string[] {
  const { what, against = '', limit, value, unit, measured = [], skipped, failed } = outcome
  const suffix = unit === 'ratio' ? '' : ` ${unit}`
  return [
    what,
    against,
    limit === undefined ? '' : `${limit.at === 'most' ? '<=' : '>='} ${limit.value}${suffix}`,
    value === undefined ? '' : `${short(value.median)}${suffix}`,
    value === undefined ? '' : range(value),
    failed ?? skipped ?? measured.map(({ spread, unit: of }) => `${short(spread.median)} ${of}`).join(', '),
    verdict(outcome),
  ]
}

function range({ min, max }: Spread): string {
  return min === max ? '' : `${short(min)} to ${short(max)}`
}

/** Three significant digits. */
export function short(value: number): string {
  return Math.abs(value) >= 100 ? String(Math.round(value)) : String(Number(value.toPrecision(3)))
}
