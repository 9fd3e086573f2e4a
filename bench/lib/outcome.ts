// What a measurement says, and whether it is good enough.

/** What several rounds found. */
export interface Spread {
  median: number
  min: number
  max: number
}

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
  limit?: Limit | undefined
  /** What the limit is about: a ratio of paired samples, or a measured quantity */
  value?: Spread
  /** The quantities behind a ratio, this package's first */
  measured?: { name: string; unit: string; spread: Spread }[]
  rounds?: number
  voided?: number
  /** Why it was not measured */
  skipped?: string
  /** Why measuring it came to nothing */
  failed?: string
}

/** One point of a chart. */
export interface Point {
  chart: string
  server: string
  x: string | number
  unit: string
  y: Spread
}

/** What a step gives. */
export interface Findings {
  outcomes?: Outcome[]
  points?: Point[]
}

/** One step of a run. */
export interface Step {
  name: string
  /** What the build must have made, or found */
  needs: string[]
  run(): Promise<Findings>
}

export const atMost = (value: number): Limit => ({ at: 'most', value })
export const atLeast = (value: number): Limit => ({ at: 'least', value })

/** The median and the range. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const [low, high] = [sorted[(sorted.length - 1) >> 1]!, sorted[sorted.length >> 1]!]
  return { median: (low + high) / 2, min: sorted[0]!, max: sorted.at(-1)! }
}

/** `pass` or `FAIL` for a line that has a limit. */
export function verdict({ value, limit, skipped, failed }: Outcome): 'pass' | 'FAIL' | 'skipped' | '' {
  if (failed !== undefined) return 'FAIL'
  if (skipped !== undefined) return 'skipped'
  if (limit === undefined || value === undefined) return ''
  const good = limit.at === 'most' ? value.median <= limit.value : value.median >= limit.value
  return good ? 'pass' : 'FAIL'
}

/** The ratios of the first side's samples to the second's, or the differences, and what was measured of both. */
export function compared(
  pairs: readonly number[][],
  names: readonly string[],
  unit: string,
  difference = false,
): Pick<Outcome, 'unit'> & Partial<Outcome> {
  if (pairs.length === 0) return { unit, failed: 'every round was void' }
  return {
    unit: difference ? unit : 'ratio',
    value: spread(pairs.map(([ours, theirs]) => (difference ? ours! - theirs! : ours! / theirs!))),
    measured: names.map((name, side) => ({ name, unit, spread: spread(pairs.map((pair) => pair[side]!)) })),
    rounds: pairs.length,
  }
}
