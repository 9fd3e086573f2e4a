import { constants } from 'node:os'

import { NativeServer, type Settled } from './binding.ts'
import { abortError, codedError, systemError } from './errors.ts'
import {
  payload,
  sendOptions,
  startOptions,
  stopOptions,
  type SendOptions,
  type StartOptions,
  type StopOptions,
} from './options.ts'

/** What a server has done since it started. A snapshot: it does not change. */
export interface Stats {
  /** Connections accepted, without the rejected ones. */
  readonly totalConnections: number
  /** Bytes echoed. Never fewer than any client has received. */
  readonly totalBytes: number
  /** Connections open now. */
  readonly activeConnections: number
  /** Connections turned away because of `maxConnections`, or because there was no memory to serve them. */
  readonly rejectedConnections: number
}

/** What came back from the server. */
export interface Echo<T extends string | Buffer> {
  /** What was read from the connection: as a string (UTF-8) if a string was sent, else as bytes. */
  echoed: T
  /** How many bytes were read. */
  bytes: number
}

/** A promise and the function that fulfils it. */
interface Deferred {
  promise: Promise<void>
  resolve: () => void
}

/** A send that is not over. */
interface Pending {
  resolve: (data: Buffer) => void
  reject: (reason: Error) => void
}

/**
 * A TCP echo server (RFC 862) on a thread of its own: it goes on echoing while JavaScript is busy.
 *
 * A server that listens keeps the process alive (see {@link EchoServer.unref}) and is never garbage-collected.
 *
 * @example
 * await using server = new EchoServer()
 * const port = server.start()
 * const { echoed } = await server.send('hello')
 */
export class EchoServer {
  #native = new NativeServer()
  #host: string | undefined
  #port: number | undefined
  #nextId = 0
  #pending = new Map<number, Pending>()
  #referenced = true
  #keptAlive = false
  /** While the server stops: settled when it has. */
  #stopping: Deferred | undefined

  /** The port it listens on, or `undefined` if it does not listen. */
  get port(): number | undefined {
    return this.#port
  }

  /** The address it listens on, or `undefined` if it does not listen. */
  get host(): string | undefined {
    return this.#host
  }

  /** Whether it listens. False from the call of {@link stop} on. */
  get listening(): boolean {
    return this.#port !== undefined && this.#stopping === undefined
  }

  /**
   * Listens, and begins to count from zero.
   *
   * @param port TCP port, 0 to 65535; 0, the default, takes any free one.
   * @returns the port it listens on.
   * @throws an error with code `ERR_SERVER_ALREADY_LISTEN` if it listens or has not ended yet; a {@link SystemError},
   * such as `EADDRINUSE`, `EACCES` or `EADDRNOTAVAIL` (bind(2), listen(2)); a `TypeError` or `RangeError` for bad
   * arguments.
   */
  start(port = 0, options: StartOptions = {}): number {
    const checked = startOptions(port, options)
    if (this.#port !== undefined) {
      const state = this.#stopping ? 'is still stopping' : 'listens already'
      throw codedError('ERR_SERVER_ALREADY_LISTEN', `the server ${state}, on ${this.#host}:${this.#port}`)
    }
    const native = new NativeServer()
    const started = native.start(checked, (settled, ended) => this.#report(settled, ended))
    if (typeof started !== 'number') {
      throw systemError(started, checked.host, checked.port)
    }
    this.#native = native
    this.#host = checked.host
    this.#port = started
    this.#updateKeepAlive()
    return started
  }

  /**
   * Sends as a client does: connects to the server, writes `data`, ends that side, reads to the end, closes. What comes
   * back is what was on the wire.
   *
   * At most 64 sends are on the wire at once; further ones wait. A closed client port can be used again after a second,
   * so about 14,000 sends a second are possible; beyond that they wait for a port. {@link stats} right after a send has
   * all of it, for it resolves when the server has closed its side.
   *
   * @param data a string, sent as UTF-8, or bytes, which are copied at once. May be empty.
   * @returns what came back. A server at its `maxConnections` turns a send away like any client: it resolves with nothing,
   * `bytes` 0. Rejects with code `ERR_SERVER_NOT_RUNNING` if the server does not listen; with a
   * {@link SystemError}, such as `ETIMEDOUT` past `timeout` or `ECANCELED` when the server is stopped first; with an
   * `AbortError` when `signal` fires; with a `TypeError` or `RangeError` for bad arguments.
   */
  send(data: string, options?: SendOptions): Promise<Echo<string>>
  send(data: Uint8Array, options?: SendOptions): Promise<Echo<Buffer>>
  async send(data: string | Uint8Array, options: SendOptions = {}): Promise<Echo<string | Buffer>> {
    const bytes = payload(data)
    const { timeout, signal } = sendOptions(options)
    const received = await this.#exchange(bytes, timeout, signal)
    return { echoed: typeof data === 'string' ? received.toString() : received, bytes: received.length }
  }

  /**
   * What the server has done since its last start, also after its end. Before the first start all zero.
   *
   * @throws an error with code `ERR_SERVER_FAILED` if the server ended by a fault of its own.
   */
  stats(): Stats {
    try {
      return Object.freeze(this.#native.stats())
    } catch (error) {
      throw codedError('ERR_SERVER_FAILED', `the server has failed: ${(error as Error).message}`)
    }
  }

  /**
   * Stops without losing what has been begun: serves the clients that wait in the backlog, takes no new ones, finishes the
   * sends, echoes what has arrived, and closes. Resolves when every descriptor is closed, at once if it does not listen.
   * A second call while it stops can shorten the time, and resolves with the first.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const { timeout } = stopOptions(options)
    if (this.#port === undefined) {
      return
    }
    this.#stopping ??= deferred()
    this.#updateKeepAlive()
    this.#native.stop(timeout)
    await this.#stopping.promise
  }

  /** Lets the server keep the process alive while it listens: the default. */
  ref(): this {
    this.#referenced = true
    this.#updateKeepAlive()
    return this
  }

  /** Lets the process end though the server listens. Sends and stops that are under way still keep it alive. */
  unref(): this {
    this.#referenced = false
    this.#updateKeepAlive()
    return this
  }

  /** Stops the server at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #exchange(bytes: Uint8Array, timeout: number, signal: AbortSignal | undefined): Promise<Buffer> {
    if (signal?.aborted) {
      throw abortError(signal.reason)
    }
    const id = this.#nextId++
    if (!this.listening || !this.#native.send(id, bytes, timeout)) {
      throw codedError('ERR_SERVER_NOT_RUNNING', 'the server does not listen: start it before sending')
    }
    const abort = () => this.#abort(id, signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, { resolve, reject })
        this.#updateKeepAlive()
      })
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  #abort(id: number, reason: unknown): void {
    this.#native.cancel(id)
    this.#pending.get(id)?.reject(abortError(reason))
    this.#pending.delete(id)
    this.#updateKeepAlive()
  }

  #report(settled: Settled[], ended: boolean): void {
    for (const { id, data, failure } of settled) {
      const pending = this.#pending.get(id)
      this.#pending.delete(id)
      if (data) {
        pending?.resolve(data)
      } else if (failure) {
        pending?.reject(this.#sendError(failure))
      }
    }
    if (ended) {
      this.#end()
    }
    this.#updateKeepAlive()
  }

  /** The thread has ended, by a stop or by a fault of its own: nothing that is pending will be heard of again. */
  #end(): void {
    const canceled = this.#sendError({ errno: -constants.errno.ECANCELED, syscall: 'read' })
    for (const { reject } of this.#pending.values()) {
      reject(canceled)
    }
    this.#pending.clear()
    this.#native.release()
    this.#host = undefined
    this.#port = undefined
    this.#stopping?.resolve()
    this.#stopping = undefined
  }

  #sendError(failure: { errno: number; syscall: string }): Error {
    return systemError(failure, this.#host ?? '', this.#port ?? 0)
  }

  #updateKeepAlive(): void {
    const wanted = (this.listening && this.#referenced) || this.#stopping !== undefined || this.#pending.size > 0
    if (wanted !== this.#keptAlive) {
      this.#keptAlive = wanted
      this.#native.setKeepAlive(wanted, idle)
    }
  }
}

function deferred(): Deferred {
  let resolve!: () => void
  const promise = new Promise<void>((fulfil) => (resolve = fulfil))
  return { promise, resolve }
}

/** Never called: see `setKeepAlive`. */
function idle(): void {}
