// What a measurement says, and whether it is good enough.
import { spread, type Spread } from './statistics.ts'

/** What must hold of a value. */
export interface Limit {
  at: 'most' | 'least'
  value: number
}

/** One line of the table. */
export interface Outcome {
  what: string
  /** What it is compared with */
  against?: string
  /** Of the value */
  unit: string
  limit?: Limit
  /** What the limit is about: a ratio of paired samples, or a measured quantity */
  value?: Spread
  /** The quantities behind a ratio, this package's first */
  measured?: Measured[]
  rounds?: number
  voided?: number
  /** Why it was not measured */
  skipped?: string
  /** Why measuring it came to nothing */
  failed?: string
}

/** A quantity of one side. */
export interface Measured {
  name: string
  unit: string
  spread: Spread
}

/** One point of a chart. */
export interface Point {
  chart: string
  server: string
  x: string | number
  unit: string
  y: Spread
}

export const atMost = (value: number): Limit => ({ at: 'most', value })
export const atLeast = (value: number): Limit => ({ at: 'least', value })

/** `pass` or `FAIL` for a line that has a limit. */
export function verdict({ value, limit, skipped, failed }: Outcome): 'pass' | 'FAIL' | 'skipped' | '' {
  if (failed !== undefined) return 'FAIL'
  if (skipped !== undefined) return 'skipped'
  if (limit === undefined || value === undefined) return ''
  const good = limit.at === 'most' ? value.median <= limit.value : value.median >= limit.value
  return good ? 'pass' : 'FAIL'
}

/** The ratios of paired samples, the first side's to the second's, and what was measured of both. */
export function ratios(pairs: readonly number[][], names: readonly string[], unit: string): Partial<Outcome> {
  if (pairs.length === 0) return { failed: 'every round was void' }
  const side = (index: number): number[] => pairs.map((pair) => pair[index]!)
  return {
    value: spread(pairs.map(([ours, theirs]) => ours! / theirs!)),
    measured: names.map((name, index) => ({ name, unit, spread: spread(side(index)) })),
    rounds: pairs.length,
  }
}
