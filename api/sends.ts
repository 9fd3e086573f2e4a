/** The sends of one engine that are under way, and their promises. */

import type { NativeOutcome } from './binding.ts'
import { abortError, systemError, type Address, type SystemError } from './errors.ts'

interface Pending {
  to: Address
  resolve: (data: Buffer) => void
  reject: (reason: Error) => void
}

/** The sends of one engine. */
export class Sends {
  #nextId = 0
  readonly #pending = new Map<number, Pending>()
  readonly #onChange: () => void

  /** With what to do whenever one has begun or is over. */
  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** Whether any is under way. */
  get areUnderWay(): boolean {
    return this.#pending.size > 0
  }

  /** Carries one out: `begin` puts it under way, or throws, and returns where it goes to; `cancel` gives it up. */
  async carryOut(
    signal: AbortSignal | undefined,
    begin: (id: number) => Address,
    cancel: (id: number) => void,
  ): Promise<Buffer> {
    const id = this.#nextId++
    let isAborted = false
    const abort = (): void => {
      isAborted = true
      cancel(id)
      this.reject(id, abortError(signal!))
    }
    // Before the send begins, so that a signal that fails here leaves nothing on the wire.
    signal?.addEventListener('abort', abort, { once: true })
    try {
      // A signal may call back within these two calls.
      if (signal?.aborted || isAborted) throw abortError(signal!)
      const to = begin(id)
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, { to, resolve, reject })
        this.#onChange()
      })
    } finally {
      try {
        signal?.removeEventListener('abort', abort)
      } catch {
        // Whatever the signal is like, the send is over, and its result counts.
      }
    }
  }

  /** Whether this one is under way. */
  has(id: number): boolean {
    return this.#pending.has(id)
  }

  /** Ends those that are over. */
  settle(settled: readonly NativeOutcome[]): void {
    for (const { id, received, failure } of settled) {
      const pending = this.#take(id)
      if (failure) pending?.reject(sendError(failure, pending.to, received))
      else pending?.resolve(received)
    }
    this.#onChange()
  }

  /** Ends one before its time, if it is under way. */
  reject(id: number, error: Error): void {
    this.#take(id)?.reject(error)
    this.#onChange()
  }

  /** Ends all before their time, with an error for each. */
  rejectAll(error: (to: Address) => Error): void {
    for (const { to, reject } of this.#pending.values()) reject(error(to))
    this.#pending.clear()
  }

  #take(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    return pending
  }
}

function sendError(failure: { errno: number; syscall: string }, to: Address, received: Buffer): SystemError {
  return Object.assign(systemError(failure, to), received.length > 0 && { received })
}
