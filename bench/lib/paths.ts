// Where things are.
import { fileURLToPath } from 'node:url'

const at = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url))

export const ROOT = at('.')
/** What the benchmark builds. */
export const DIST = at('bench/dist')
export const LOADGEN = at('target/release/echo-loadgen')
export const SERVE = at('target/release/examples/serve')
export const RESULTS = at('bench/results.json')
export const PLOT = at('bench/results.svg')
export const LIMITS = at('bench/limits.json')
export { at }
