/** Faults on purpose: their ranges and defaults. */

import { integer, object } from './arguments.ts'
import { invalidType, invalidValue, outOfRange } from './errors.ts'

/**
 * How connections misbehave, so that a client's author sees what the client does then. Faults combine. Of `resetAfter`,
 * `endAfter` and `stallAfter` only one may be given. Members of other names are refused with `ERR_INVALID_ARG_VALUE`.
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
   * an end. Until it is reset it counts toward `maxConnections`, also when its client has left before. 0 is at once: the
   * client's connect, write or read fails.
   */
  resetAfter?: number | undefined
  /** Ends the connection when so many bytes were echoed, also when more input waits, 0 to 2^53 - 1. 0 is at once. */
  endAfter?: number | undefined
  /**
   * Neither echoes nor reads when so many bytes were echoed, 0 to 2^53 - 1. 0 is at once. The connection stays, and counts
   * toward `maxConnections`, until the client resets it, or `idleTimeout` (at most an eighth late), `close`, `reset` or `stop`
   * ends it. The client's end is not read either. Where `idleTimeout` ends it, a client that
   * has sent more than came back reads a reset, any other an end.
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
const NAMES = ['delay', 'rate', 'chunk', ...FATES, 'share', 'seed'] as const

/**
 * A checked copy of faults, which have no other members. Each member is read once: then no code of others runs any more that
 * could change or throw.
 */
export function checkedFaults(parent: string, value: unknown): Readonly<Faults> {
  const source = object(parent, value)
  // A test whose fault is misspelt would test nothing.
  const unknown = Object.keys(source).find((member) => !(NAMES as readonly string[]).includes(member))
  if (unknown !== undefined) throw invalidValue(parent, `made of ${NAMES.join(', ')}`, unknown)
  const members = NAMES.map((name) => [name, frozen(source[name])] as const)
  const given: Record<string, unknown> = Object.fromEntries(members.filter(([, member]) => member !== undefined))
  check(parent, given)
  return Object.freeze(given) as Readonly<Faults>
}

function frozen(member: unknown): unknown {
  // Not `slice`, which keeps holes.
  return Array.isArray(member) ? Object.freeze(Array.from(member as unknown[])) : member
}

function check(parent: string, given: Record<string, unknown>): void {
  delays(`${parent}.delay`, given['delay'])
  const checkInteger = (name: string, min: number, max: number): void => {
    if (given[name] !== undefined) integer(`${parent}.${name}`, given[name], min, max)
  }
  checkInteger('rate', 1, Number.MAX_SAFE_INTEGER)
  checkInteger('chunk', 1, MAX_UINT32)
  for (const name of FATES) checkInteger(name, 0, Number.MAX_SAFE_INTEGER)
  checkInteger('seed', 0, MAX_UINT32)
  const [first, second] = FATES.filter((name) => given[name] !== undefined)
  if (second !== undefined) {
    throw invalidValue(`${parent}.${second}`, `left out beside ${parent}.${first}`, given[second])
  }
  const { share = 1 } = given
  const [name, expected] = [`${parent}.share`, 'a number from 0 to 1']
  if (typeof share !== 'number') throw invalidType(name, expected, share)
  if (!(share >= 0 && share <= 1)) throw outOfRange(name, expected, share)
}

function delays(name: string, delay: unknown = 0): [from: number, to: number] {
  const times = (Array.isArray(delay) ? delay : [delay, delay]).map((time) => integer(name, time, 0, MAX_UINT32))
  const [from = 0, to = 0] = times
  if (times.length !== 2 || from > to) {
    throw invalidValue(name, 'a number, or a pair from, to with from <= to', `[${times.join(', ')}]`)
  }
  return [from, to]
}

/** Checked faults in the form that the engine takes: 0 is no limit. */
export function nativeFaults({ delay, rate = 0, chunk = 0, share = 1, seed = 1, ...fates }: Faults) {
  const [delayFrom, delayTo] = delays('delay', delay)
  const given = fates as { resetAfter?: number; endAfter?: number; stallAfter?: number }
  return { delayFrom, delayTo, rate, chunk, share, seed, ...given }
}
