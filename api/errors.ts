/** The errors of the API, in the shape of Node's own. */

import { getSystemErrorMap, inspect } from 'node:util'

/** A failed system call, as Node.js reports it. */
export interface SystemError extends Error {
  /** The name of the error, such as `'EADDRINUSE'`: see errno(3). */
  code: string
  /** Its number, negative: a key of `util.getSystemErrorMap()`. */
  errno: number
  /** The call that failed, such as `'bind'`. */
  syscall: string
  /** The IPv4 address of the call. */
  address?: string
  /** The TCP port of the call. */
  port?: number
  /** Of a send: what had come back before it failed, if anything had. */
  received?: Buffer
}

/** Where a server listens, or a send goes to. */
export interface Address {
  /** An IPv4 address, or a name. */
  host: string
  /** A TCP port. */
  port: number
}

/** The error for a failed system call: `bind EADDRINUSE: address already in use 127.0.0.1:7007`. */
export function systemError(
  { errno, syscall }: { errno: number; syscall: string },
  { host: address, port }: Address,
): SystemError {
  const code = errorName(errno)
  const [, text] = knownErrors().get(errno) ?? [code, `unknown system error ${-errno}`]
  const message = `${syscall} ${code}: ${text} ${address}:${port}`
  return Object.assign(new Error(message), { code, errno, syscall, address, port })
}

/** The name of a negative errno, such as `'EADDRINUSE'`. */
export function errorName(errno: number): string {
  return knownErrors().get(errno)?.[0] ?? `E${-errno}`
}

let known: Map<number, [string, string]> | undefined

/** Node.js makes a new map each time: a hundred thousand sends that fail together would take seconds. */
function knownErrors(): Map<number, [string, string]> {
  return (known ??= getSystemErrorMap())
}

/** An error with a code. */
export function codedError(code: string, message: string): Error & { code: string } {
  return Object.assign(new Error(message), { code })
}

/** The error of an operation that its caller aborted. Its cause is the reason of the signal, or why that cannot be read. */
export function abortError(signal: AbortSignal): Error & { code: string } {
  let cause: unknown
  try {
    cause = signal.reason
  } catch (error) {
    cause = error
  }
  const error = new Error('The operation was aborted', { cause })
  return Object.assign(error, { name: 'AbortError', code: 'ABORT_ERR' })
}

/** An argument of the wrong type. */
export const invalidType = invalidArgument('ERR_INVALID_ARG_TYPE', TypeError)

/** An argument of the right type that cannot be used. */
export const invalidValue = invalidArgument('ERR_INVALID_ARG_VALUE', TypeError)

/** A number outside its range. */
export const outOfRange = invalidArgument('ERR_OUT_OF_RANGE', RangeError)

function invalidArgument(code: string, Kind: TypeErrorConstructor | RangeErrorConstructor) {
  return (name: string, expected: string, received: unknown): Error => {
    const shown = inspect(received, { depth: -1, maxStringLength: 64, breakLength: Infinity })
    return Object.assign(new Kind(`${name} must be ${expected}, got ${shown}`), { code })
  }
}
