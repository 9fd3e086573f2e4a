/** Faults on purpose: their ranges and defaults. */

import { integer, object, option } from './arguments.ts'
import { invalidType, invalidValue, outOfRange } from './errors.ts'

/**
 * How connections misbehave, so that a client's author sees what the client does then. Faults combine. Of `resetAfter`,
 * `endAfter` and `stallAfter` only one may be given.
 */
export interface Faults {
  /**
   * How long what was read waits before it is echoed, in milliseconds, 0 to 4,294,967,295; or a range, from which each
   * delay is chosen by chance. Meanwhile nothing more is read. Never too short, and at most 2 ms too long on an idle machine.
   */
  delay?: number | readonly [from: number, to: number] | undefined
  /**
   * The most bytes that a connection echoes per second, 1 to 2^53 - 1. They go in up to 200 writes per second. A thread can do
   * about 100,000 writes per second: with many such connections, or a small `chunk`, the rate is lower.
   */
  rate?: number | undefined
  /** The most bytes that one write(2) takes, 1 to 4,294,967,295. Clients get them in such pieces if they read fast enough. */
  chunk?: number | undefined
  /**
   * Resets the connection 100 ms after so many bytes were echoed, when the client's kernel has them, 0 to 2^53 - 1. The client's
   * next read fails with `ECONNRESET`. But a Node.js client that is too busy to read the last bytes before takes the reset for
   * an end. 0 is at once: the client's connect, write or read fails.
   */
  resetAfter?: number | undefined
  /** Ends the connection when so many bytes were echoed, also when more input waits, 0 to 2^53 - 1. 0 is at once. */
  endAfter?: number | undefined
  /**
   * Neither echoes nor reads when so many bytes were echoed, 0 to 2^53 - 1. 0 is at once. The connection stays, and counts
   * toward `maxConnections`, until the client resets it, or `idleTimeout`, `close`, `reset` or `stop` ends it. The client's end
   * is not read either.
   */
  stallAfter?: number | undefined
  /**
   * The part of the connections that is hit, 0 to 1. Of the first n connections it is this part, rounded up: with 0.5 the
   * first, the third, and so on.
   * @default 1
   */
  share?: number | undefined
  /**
   * What the delays of a range follow from, 0 to 4,294,967,295: the same seed gives the same delays.
   * @default 1
   */
  seed?: number | undefined
}

const MAX_UINT32 = 0xffff_ffff
const FATES = ['resetAfter', 'endAfter', 'stallAfter'] as const

/** Faults, checked, in the form that the engine takes. */
export function checkedFaults(value: unknown) {
  const given = object('options.faults', value)
  const [delayFrom, delayTo] = delays(given['delay'])
  const fates = FATES.filter((name) => given[name] !== undefined)
  const [first, second] = fates
  if (second !== undefined) {
    throw invalidValue(`options.faults.${second}`, `left out beside options.faults.${first}`, given[second])
  }
  const after = Object.fromEntries(
    fates.map((name) => [name, integer(`options.faults.${name}`, given[name], 0, Number.MAX_SAFE_INTEGER)]),
  )
  return {
    delayFrom,
    delayTo,
    rate: limit('rate', given['rate'], Number.MAX_SAFE_INTEGER),
    chunk: limit('chunk', given['chunk'], MAX_UINT32),
    ...after,
    share: share(given['share']),
    seed: option('options.faults', given, 'seed', 1, 0, MAX_UINT32),
  }
}

function delays(delay: unknown = 0): [from: number, to: number] {
  const name = 'options.faults.delay'
  if (!Array.isArray(delay)) {
    const exact = integer(name, delay, 0, MAX_UINT32)
    return [exact, exact]
  }
  // Not `map`, which passes over holes.
  const [from, to] = Array.from(delay, (time) => integer(name, time, 0, MAX_UINT32)) as [number, number]
  if (delay.length !== 2 || from > to) {
    throw invalidValue(name, 'a number, or a pair from, to with from <= to', delay.join(', '))
  }
  return [from, to]
}

/** The engine takes 0 for no limit. */
function limit(name: string, value: unknown, max: number): number {
  return value === undefined ? 0 : integer(`options.faults.${name}`, value, 1, max)
}

function share(value: unknown = 1): number {
  const [name, expected] = ['options.faults.share', 'a number from 0 to 1']
  if (typeof value !== 'number') throw invalidType(name, expected, value)
  if (!(value >= 0 && value <= 1)) throw outOfRange(name, expected, value)
  return value
}
