/**
 * The clock, the timers and the queue of ticks of Node.js, taken when this module is loaded: the fake ones of a test, installed
 * later, would never clear what a real one has set. Not the global ones: those of jsdom are no objects.
 */

import timers from 'node:timers'

export const { setImmediate, clearImmediate, setInterval, clearInterval } = timers
const { hrtime } = process
export const nextTick = process.nextTick.bind(process)

/** Milliseconds on a clock that never goes back. At the first use of `performance` Node.js would load nine modules. */
export function now(): number {
  const [seconds, nanoseconds] = hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** How often a deadline looks at the clock, in milliseconds. */
const STEP = 25

/** What {@link Deadline.rest} leaves at least, in milliseconds. */
const LEAST = 50

/**
 * Calls back when the process has run for so many milliseconds. Of a stall, of the process or of its JavaScript, at most two
 * steps count, and what came meanwhile is heard before.
 */
export class Deadline {
  readonly #time: number
  #left: number
  #before = now()
  #last: NodeJS.Immediate | undefined
  readonly #steps: NodeJS.Timeout

  constructor(time: number, onPassed: () => void) {
    this.#time = time
    this.#left = time
    this.#steps = setInterval(() => {
      if (this.#look() > 0) return
      clearInterval(this.#steps)
      this.#last = setImmediate(onPassed)
    }, STEP)
  }

  /** Ends it, and returns how many milliseconds were left. */
  clear(): number {
    clearInterval(this.#steps)
    clearImmediate(this.#last)
    return this.#look()
  }

  /** Ends it, and returns the time for what follows, in whole milliseconds: a little, though a stall has used up the rest. */
  rest(): number {
    return Math.max(Math.min(this.#time, LEAST), Math.ceil(this.clear()))
  }

  #look(): number {
    const time = now()
    this.#left -= Math.min(time - this.#before, 2 * STEP)
    this.#before = time
    return this.#left
  }
}
