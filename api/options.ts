/** The options, their ranges and defaults. */

import { isIPv4 } from 'node:net'
import { types } from 'node:util'

import { integer, object, option } from './arguments.ts'
import { invalidType, invalidValue, type Address } from './errors.ts'
import { checkedFaults, type Faults } from './faults.ts'

/** How to start a server. */
export interface StartOptions {
  /**
   * The IPv4 address to listen on, in dotted decimal form, or `'localhost'`, which is 127.0.0.1. `'0.0.0.0'` is every
   * address of the machine.
   * @default '127.0.0.1', which only this machine can reach
   */
  host?: string | undefined
  /**
   * How many connections may wait to be accepted: the backlog of listen(2), 1 to 2,147,483,647. Linux limits it to
   * `net.core.somaxconn`, macOS to `kern.ipc.somaxconn`.
   * @default 511
   */
  backlog?: number | undefined
  /**
   * How many connections may be open at once, 1 to 4,294,967,295. Connections over the limit are accepted, ended at once,
   * and counted as `rejectedConnections`. Those of `send` count too.
   * @default no limit except that of descriptors; without free descriptors clients wait in the backlog
   */
  maxConnections?: number | undefined
  /**
   * Closes idle connections after this time, in milliseconds, 0 to 4,294,967,295; at most a sixteenth of it late, or
   * 100 ms if that is more, and the few milliseconds by which a timer is late; on macOS at most an eighth late. A client that
   * has not read its echo is reset, if the echo is longer than what the kernel holds. 0 turns it off.
   * @default 0
   */
  idleTimeout?: number | undefined
  /**
   * How long the I/O thread polls for the next event before it sleeps, in microseconds, 0 to 1,000,000. Polling lowers
   * the latency of a few busy connections, and stops by itself while it brings nothing. 0 turns it off. It is always off
   * where the process may use only one CPU.
   * @default 50
   */
  busyPoll?: number | undefined
  /**
   * How many I/O threads share the connections, 1 to 64. The first one accepts connections, and deals those out in turn that
   * have echoed twice. One thread uses a whole core at about 200,000 messages per second; more threads help
   * only where there are more cores.
   * @default one for each CPU that the process may use, at most 4
   */
  threads?: number | undefined
  /**
   * How connections misbehave; see also {@link EchoServer.faults}.
   * @default not at all
   */
  faults?: Faults | undefined
}

/** How to send. */
export interface SendOptions {
  /**
   * Sends to the server at this host, whatever it is: an IPv4 address, or a name that Node.js resolves to one
   * (`dns.lookup`).
   * @default the server that `send` belongs to; with `port`, 127.0.0.1
   */
  host?: string | undefined
  /**
   * The TCP port there, 1 to 65535. It must be given with `host`.
   */
  port?: number | undefined
  /**
   * How long the send may take, in milliseconds, 1 to 4,294,967,295. Waiting for its turn counts. After this time the
   * connection is reset, and the promise rejects with `ETIMEDOUT`.
   * @default 4000
   */
  timeout?: number | undefined
  /**
   * How long the server may take for its echo until the send shuts down its own direction, in milliseconds, 0 to
   * 4,294,967,295, from the last byte that it has written. It does so at once when as much as was sent is back. Some servers
   * give up what they have not yet written when their client does so; others write nothing before. Only with `host` or
   * `port`: the own server needs no such time.
   * @default 500, or a quarter of `timeout` if that is less
   */
  halfCloseAfter?: number | undefined
  /**
   * Aborts the send: the connection is reset, and the promise rejects with an `AbortError`. If one signal serves more
   * than ten sends at once, call `events.setMaxListeners(0, signal)`, or Node.js warns of a leak.
   */
  signal?: AbortSignal | undefined
}

/** How to stop. */
export interface StopOptions {
  /**
   * How long the server may take to finish, in milliseconds, 0 to 4,294,967,295. Connections still open after this time
   * are cut off.
   * @default 1000
   */
  timeout?: number | undefined
}

/** How to cut connections. */
export interface CloseOptions {
  /**
   * Whether to reset the connections instead of ending them.
   * @default false
   */
  reset?: boolean | undefined
}

const LOCALHOST = '127.0.0.1'
const MAX_PORT = 65_535
const MAX_INT32 = 0x7fff_ffff
const MAX_UINT32 = 0xffff_ffff
const HALF_CLOSE_AFTER = 500
const SECOND_IN_MICROSECONDS = 1_000_000
const MAX_THREADS = 64

/** The port and the options of `start`, checked, with their defaults. */
export function startOptions(port: unknown, options: unknown) {
  const given = object('options', options)
  const { host: name = 'localhost', faults } = given
  const host = name === 'localhost' ? LOCALHOST : name
  if (typeof host !== 'string') throw invalidType('options.host', 'an IPv4 address', host)
  // The first call takes long: it makes its regular expressions.
  const isAddress = host === LOCALHOST || isIPv4(host)
  if (!isAddress) throw invalidValue('options.host', "an IPv4 address such as '127.0.0.1'", host)
  return {
    host,
    port: integer('port', port, 0, MAX_PORT),
    backlog: option('options', given, 'backlog', 511, 1, MAX_INT32),
    maxConnections: option('options', given, 'maxConnections', MAX_UINT32, 1, MAX_UINT32),
    idleTimeout: option('options', given, 'idleTimeout', 0, 0, MAX_UINT32),
    busyPoll: option('options', given, 'busyPoll', 50, 0, SECOND_IN_MICROSECONDS),
    // 0: the engine knows how many CPUs the limits of a container leave.
    threads: option('options', given, 'threads', 0, 1, MAX_THREADS),
    faults: faults === undefined ? undefined : checkedFaults('options.faults', faults),
  }
}

/** The options of `send`, checked, with their defaults. */
export function sendOptions(options: unknown) {
  const given = object('options', options)
  const { signal } = given
  if (signal !== undefined && !isAbortSignal(signal)) throw invalidType('options.signal', 'an AbortSignal', signal)
  const to = destination(given)
  const timeout = option('options', given, 'timeout', 4000, 1, MAX_UINT32)
  const byDefault = Math.min(HALF_CLOSE_AFTER, Math.floor(timeout / 4))
  const halfCloseAfter = option('options', given, 'halfCloseAfter', byDefault, 0, MAX_UINT32)
  return { to, timeout, halfCloseAfter, signal }
}

/** Where a send goes to, if not to a server of our own. */
function destination({ host, port }: Record<string, unknown>): Address | undefined {
  if (host === undefined && port === undefined) return undefined
  const expected = 'an IPv4 address or a name'
  if (host !== undefined && typeof host !== 'string') throw invalidType('options.host', expected, host)
  // What no name can have: it would be an IPv6 address, a URL, or cut short at a NUL.
  if (host !== undefined && !/^[^\s/:\p{C}]+$/u.test(host)) throw invalidValue('options.host', expected, host)
  return { host: host ?? LOCALHOST, port: integer('options.port', port, 1, MAX_PORT) }
}

/** The options of `stop`, checked, with their defaults. */
export function stopOptions(options: unknown) {
  return { timeout: option('options', object('options', options), 'timeout', 1000, 0, MAX_UINT32) }
}

/** The options of `closeConnections`, checked, with their defaults. */
export function closeOptions(options: unknown) {
  const { reset = false } = object('options', options)
  if (typeof reset !== 'boolean') throw invalidType('options.reset', 'a boolean', reset)
  return { reset }
}

/** The bytes to send. UTF-8 has none for a lone surrogate, so such a string is refused rather than changed. */
export function payload(data: unknown): Uint8Array {
  if (types.isUint8Array(data)) {
    try {
      // Throws if its buffer was transferred, or shrunk to less than it views. Such an array only seems to be empty.
      Uint8Array.prototype.keys.call(data)
    } catch {
      throw invalidType('data', 'a Uint8Array whose buffer is not detached', data)
    }
    return data
  }
  if (typeof data !== 'string') throw invalidType('data', 'a string or a Uint8Array', data)
  if (!data.isWellFormed()) throw invalidValue('data', 'well-formed Unicode, without lone surrogates', data)
  return Buffer.from(data)
}

/** Checked by its shape, as Node.js does it: a signal may come from another realm. */
function isAbortSignal(value: unknown): value is AbortSignal {
  return typeof (value as AbortSignal | null)?.addEventListener === 'function' && 'aborted' in (value as object)
}
