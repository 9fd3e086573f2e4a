// The two sizes of the tests that need minutes: short in `npm test`, full under `npm run soak`.

/** Whether this is the soak. */
export const SOAK = process.env['SOAK'] === '1'

/** The first size in the ordinary suite, the second under `npm run soak`. */
export function size(short: number, full: number): number {
  return SOAK ? full : short
}
