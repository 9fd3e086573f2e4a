/** The options, their ranges and defaults. */

import { types } from 'node:util'

import { invalidType, invalidValue, outOfRange } from './errors.ts'

/** How to start a server. */
export interface StartOptions {
  /**
   * The IPv4 address to listen on, in dotted decimal form.
   * @default '127.0.0.1', which nothing outside the machine reaches; `'0.0.0.0'` is every address of the machine.
   */
  host?: string
  /**
   * How many connections may wait to be accepted: the backlog of listen(2), 1 to 2,147,483,647, which Linux cuts to
   * `net.core.somaxconn`.
   * @default 511
   */
  backlog?: number
  /**
   * How many connections may be open at once, 1 to 4,294,967,295. Further ones are accepted, ended at once, and counted as
   * `rejectedConnections`. Those of `send` count too.
   * @default no limit but that of descriptors; when those run out, clients wait in the backlog.
   */
  maxConnections?: number
  /**
   * Closes connections on which nothing happened for this time, in milliseconds, 0 to 4,294,967,295; at most a sixteenth
   * of it late. 0 turns it off.
   * @default 0
   */
  idleTimeout?: number
  /**
   * How long the I/O thread polls for the next event before it sleeps, in microseconds, 0 to 1,000,000. It lowers the
   * latency of a few busy connections, and ends by itself while nothing comes of it. 0 turns it off; where the process
   * may use one CPU only it is off.
   * @default 50
   */
  busyPoll?: number
  /**
   * How many I/O threads share the connections, 1 to 64. The first accepts, and deals them out in turn. One thread
   * keeps a core busy at about 200,000 messages a second; more are of use where there are more cores.
   * @default 1
   */
  threads?: number
}

/** How to send. */
export interface SendOptions {
  /**
   * How long it may take, in milliseconds, 1 to 4,294,967,295, waiting for its turn included. Past it the connection is
   * reset and the promise rejected with `ETIMEDOUT`.
   * @default 4000
   */
  timeout?: number
  /**
   * Resets the connection and rejects the promise with an `AbortError` when it fires. For one signal to serve more than
   * ten sends at once, Node.js wants to hear `events.setMaxListeners(0, signal)`.
   */
  signal?: AbortSignal
}

/** How to stop. */
export interface StopOptions {
  /**
   * How long what has been begun may take to end, in milliseconds, 0 to 4,294,967,295. What is open after it is cut off.
   * @default 1000
   */
  timeout?: number
}

const MAX_PORT = 65_535
const MAX_INT32 = 0x7fff_ffff
const MAX_UINT32 = 0xffff_ffff
/** A second: beyond it polling would be no wait any more but a habit. */
const MAX_BUSY_POLL = 1_000_000
const MAX_THREADS = 64
const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/u

/** The port and the options of `start`, checked, with their defaults. */
export function startOptions(port: unknown, options: unknown) {
  const {
    host = '127.0.0.1',
    backlog = 511,
    maxConnections,
    idleTimeout = 0,
    busyPoll = 50,
    threads = 1,
  } = object(options)
  return {
    port: integer('port', port, 0, MAX_PORT),
    host: ipv4('options.host', host),
    backlog: integer('options.backlog', backlog, 1, MAX_INT32),
    busyPoll: integer('options.busyPoll', busyPoll, 0, MAX_BUSY_POLL),
    threads: integer('options.threads', threads, 1, MAX_THREADS),
    ...(maxConnections !== undefined && {
      maxConnections: integer('options.maxConnections', maxConnections, 1, MAX_UINT32),
    }),
    ...(idleTimeout !== 0 && { idleTimeout: integer('options.idleTimeout', idleTimeout, 0, MAX_UINT32) }),
  }
}

/** The options of `send`, checked, with their defaults. */
export function sendOptions(options: unknown) {
  const { timeout = 4000, signal } = object(options)
  if (signal !== undefined && !isAbortSignal(signal)) {
    throw invalidType('options.signal', 'an AbortSignal', signal)
  }
  return { timeout: integer('options.timeout', timeout, 1, MAX_UINT32), signal }
}

/** The options of `stop`, checked, with their defaults. */
export function stopOptions(options: unknown) {
  const { timeout = 1000 } = object(options)
  return { timeout: integer('options.timeout', timeout, 0, MAX_UINT32) }
}

/** What is to be sent, as bytes. A lone surrogate has none in UTF-8, so such a string is refused rather than altered. */
export function payload(data: unknown): Uint8Array {
  if (types.isUint8Array(data)) {
    return data
  }
  if (typeof data !== 'string') {
    throw invalidType('data', 'a string or a Uint8Array', data)
  }
  if (!data.isWellFormed()) {
    throw invalidValue('data', 'well-formed Unicode, without lone surrogates', data)
  }
  return Buffer.from(data)
}

/** By its shape, as Node.js checks it: a signal may come from another realm. */
function isAbortSignal(value: unknown): value is AbortSignal {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value
}

function object(options: unknown): Record<string, unknown> {
  if (options === undefined) {
    return {}
  }
  if (typeof options !== 'object' || options === null) {
    throw invalidType('options', 'an object', options)
  }
  return options as Record<string, unknown>
}

function integer(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') {
    throw invalidType(name, `an integer from ${min} to ${max}`, value)
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw outOfRange(name, `an integer from ${min} to ${max}`, value)
  }
  return value
}

function ipv4(name: string, value: unknown): string {
  if (typeof value !== 'string') {
    throw invalidType(name, 'an IPv4 address', value)
  }
  if (!IPV4.test(value)) {
    throw invalidValue(name, "an IPv4 address such as '127.0.0.1'", value)
  }
  return value
}
