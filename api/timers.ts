/**
 * The clock, the timers and the queue of ticks of Node.js, taken when this module is loaded: the fake ones of a test, installed
 * later, would never clear what a real one has set. Not the global ones: those of jsdom are no objects.
 */

import timers from 'node:timers'

export const { setImmediate, setInterval, clearInterval, setTimeout, clearTimeout } = timers
export const now = performance.now.bind(performance)
export const nextTick = process.nextTick.bind(process)
