/**
 * The clock, the timers and the queue of ticks of Node.js, taken when this module is loaded: the fake ones of a test, installed
 * later, would never clear what a real one has set. Not the global ones: those of jsdom are no objects.
 */

import timers from 'node:timers'

export const { setImmediate, setInterval, clearInterval, setTimeout, clearTimeout } = timers
const { hrtime } = process
export const nextTick = process.nextTick.bind(process)

/** Milliseconds on a clock that never goes back. At the first use of `performance` Node.js would load nine modules. */
export function now(): number {
  const [seconds, nanoseconds] = hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
