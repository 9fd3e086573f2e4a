// Medians and ranges: all that a table of ratios needs.

/** What several rounds found. */
export interface Spread {
  median: number
  min: number
  max: number
}

/** The median and the range. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const median = sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
  return { median, min: sorted[0]!, max: sorted.at(-1)! }
}
