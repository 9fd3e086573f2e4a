// Waiting for conditions, never for times.

import { setTimeout as sleep } from 'node:timers/promises'

const INTERVAL = 5

/** Waits until the probe returns something true, and returns that. Fails with `what` after `limit` milliseconds. */
export async function until<T>(what: string, probe: () => T | Promise<T>, limit = 20_000): Promise<NonNullable<T>> {
  const end = Date.now() + limit
  for (;;) {
    const value = await probe()
    if (value) return value
    if (Date.now() > end) throw new Error(`waited ${limit} ms until ${what}, got ${String(value)}`)
    await sleep(INTERVAL)
  }
}

/** The promise's outcome, or a failure with `what` after `limit` milliseconds. */
export async function within<T>(what: string, promise: Promise<T>, limit = 20_000): Promise<T> {
  const control = new AbortController()
  const late = sleep(limit, undefined, { signal: control.signal }).then(() => {
    throw new Error(`${what} took longer than ${limit} ms`)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    control.abort()
    late.catch(() => {})
  }
}

/** A promise and the functions that settle it. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void
  let reject!: (reason: Error) => void
  const promise = new Promise<T>((fulfil, refuse) => {
    resolve = fulfil
    reject = refuse
  })
  return { promise, resolve, reject }
}
