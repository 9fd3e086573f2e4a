import { EventEmitter } from 'node:events'
import { constants } from 'node:os'
import { inspect, type InspectOptions } from 'node:util'

import { startNative, type NativeReport, type NativeServer } from './binding.ts'
import { readEvents, type ConnectionEvent, type ConnectionEvents } from './connections.ts'
import { codedError, systemError, type Address } from './errors.ts'
import { checkedFaults, nativeFaults, type Faults } from './faults.ts'
import { closeOptions, payload, sendOptions, startOptions, stopOptions } from './options.ts'
import type { CloseOptions, SendOptions, StartOptions, StopOptions } from './options.ts'
import { Sends } from './sends.ts'
import { clearInterval, nextTick, now, setImmediate, setInterval } from './timers.ts'

/** What a server has done since it started. A snapshot: it does not change. */
export interface Stats {
  /** Connections accepted, without the rejected ones. */
  readonly totalConnections: number
  /**
   * Bytes echoed. Never fewer than all clients together have received: they are counted before they are written, and what a client
   * does not take is taken back, so between two calls it may fall.
   */
  readonly totalBytes: number
  /** Connections open now. */
  readonly activeConnections: number
  /** Connections rejected because of `maxConnections`, or because there was no memory for them. */
  readonly rejectedConnections: number
}

/** What came back from the server. */
export interface Echo<T extends string | Buffer> {
  /** The bytes read from the connection; as a string (UTF-8) if a string was sent. */
  echoed: T
  /** How many bytes were read. */
  bytes: number
}

/** The events of a server, with their arguments. */
export interface ServerEvents extends ConnectionEvents {
  /** The server has ended: all connections and the port are closed. With an error if it ended because of an internal one. */
  close: [error?: Error]
}

const SETTLED = Promise.resolve()

/** Where the engine writes its counters: to make an object of them would take it longer than all the rest. */
const COUNTERS = new Float64Array(4)
const COUNTER_BYTES = Buffer.from(COUNTERS.buffer)

const NO_STATS: Stats = Object.freeze({
  totalConnections: 0,
  totalBytes: 0,
  activeConnections: 0,
  rejectedConnections: 0,
})

/** While somebody listens to one of these, the engine tells of connections. */
const CONNECTION_EVENTS: readonly unknown[] = ['connection', 'disconnect', 'drop', 'missed']

/** How long events are told before everyone else has a turn, in milliseconds, and how many between two looks at the clock. */
const SLICE = 10
const EVENTS_PER_LOOK = 32

/** As rarely as a timer can fire, in milliseconds. */
const LONGEST_INTERVAL = 0x7fff_ffff

/**
 * A TCP echo server (RFC 862) on threads of its own: it goes on echoing while JavaScript is busy.
 *
 * A listening server keeps the process alive (see {@link EchoServer.unref}), and is never garbage-collected. When it has
 * ended it emits `'close'`: with an error of code `ERR_SERVER_FAILED` if it was an internal error that ended it.
 *
 * The events `'connection'`, `'disconnect'`, `'drop'` and `'missed'` tell of the connections that are accepted while somebody
 * listens to one of them. Every `'connection'` has its `'disconnect'`, before `'close'`.
 *
 * @example
 * await using server = new EchoServer()
 * const port = server.start()
 * const { echoed } = await server.send('hello')
 */
export class EchoServer extends EventEmitter<ServerEvents> {
  static {
    // Node.js's own ways to add a listener all end in one of these.
    for (const name of ['on', 'addListener', 'prependListener'] as const) {
      const add = EventEmitter.prototype[name]
      const value = function (this: EchoServer, ...args: Parameters<typeof add>) {
        if (CONNECTION_EVENTS.includes(args[0])) this.#native?.setObserved(true)
        return add.apply(this, args)
      }
      Object.defineProperty(this.prototype, name, { value, configurable: true, writable: true })
    }
  }

  /** Kept after the end for its counters; undefined before the first start. */
  #native: NativeServer | undefined
  /** The message of the internal error that ended the server, if one did. */
  #failure: string | undefined
  /** Where the server is listening; undefined if it is not running. */
  #address: Address | undefined
  #faults: Readonly<Faults> | undefined
  /** Connections that came while nobody listened any more: nobody is told of their ends either. */
  readonly #untold = new Set<number>()
  /** The end of all deliveries of events so far. One that a listener's exception holds up is not overtaken by the next. */
  #delivery = SETTLED
  readonly #sends = new Sends(() => this.#updateKeepAlive())
  #referenced = true
  /** Does nothing, but keeps the process alive while it is referenced. Runs from the start to the end. */
  #keepAlive: NodeJS.Timeout | undefined
  /** What fulfils the promises of the stop under way; undefined if there is none. */
  #stops: (() => void)[] | undefined

  /** The port, or `undefined` if the server is not running. */
  get port(): number | undefined {
    return this.#address?.port
  }

  /** The address, or `undefined` if the server is not running. */
  get host(): string | undefined {
    return this.#address?.host
  }

  /** Whether the server is listening. False as soon as {@link stop} is called. */
  get listening(): boolean {
    return this.#address !== undefined && this.#stops === undefined
  }

  /**
   * How the connections that are accepted from now on misbehave; `undefined` if they do not. A client is accepted a little
   * after it is connected.
   */
  get faults(): Readonly<Faults> | undefined {
    return this.#faults
  }

  /**
   * Changes how connections misbehave, beginning with the next one that is accepted; `undefined` ends it. Throws as
   * {@link start} does for invalid faults, and an error with code `ERR_SERVER_NOT_RUNNING` if the server is not listening.
   */
  set faults(faults: Faults | undefined) {
    const checked = faults === undefined ? undefined : checkedFaults('faults', faults)
    if (!this.listening) throw notRunning('setting its faults')
    this.#native!.setFaults(checked && nativeFaults(checked))
    this.#faults = checked
  }

  /**
   * Starts listening, with all counters at zero.
   *
   * @param port TCP port, 0 to 65535. 0, the default, takes any free port.
   * @returns the port it is listening on.
   * @throws an error with code `ERR_SERVER_ALREADY_LISTEN` if the server is listening or still stopping; a
   * {@link SystemError} such as `EADDRINUSE`, `EACCES` or `EADDRNOTAVAIL` (bind(2), listen(2)); a `TypeError` or
   * `RangeError` for invalid arguments.
   */
  start(port = 0, options: StartOptions = {}): number {
    const { faults, ...checked } = startOptions(port, options)
    if (this.#address !== undefined) {
      const state = this.listening ? 'already listening' : 'still stopping'
      throw codedError('ERR_SERVER_ALREADY_LISTEN', `the server is ${state} on ${this.host}:${this.port}`)
    }
    const wanted = { ...checked, observed: this.#isObserved, ...(faults && { faults: nativeFaults(faults) }) }
    const started = startNative(wanted, (report) => void this.#report(report))
    if ('errno' in started) throw systemError(started, checked)
    this.#native = started
    this.#failure = undefined
    this.#untold.clear()
    this.#faults = faults
    this.#address = { host: checked.host, port: started.port }
    this.#keepAlive = setInterval(() => {}, LONGEST_INTERVAL)
    this.#updateKeepAlive()
    return started.port
  }

  /**
   * Sends as a client: connects to the server, writes `data`, shuts down that direction, reads until the end, closes. The
   * result is what was on the wire: compare it, or `bytes`, with what was sent.
   *
   * With the options `host` and `port` it sends to any other server. Its own direction is then shut down when as much as was
   * sent is back, or after `halfCloseAfter`. When 16 MiB more than was sent have come, it resolves with those.
   *
   * At most 64 sends are on the wire at once, and 64 to other servers; further ones wait. On this machine a client port can be
   * used again one second after its connection was closed. This limits sends to about 14,000 per second; above that they wait
   * for a port. For another machine it is a minute: 470 per second. A send resolves after the server has closed its side, so
   * {@link stats} then counts it completely.
   *
   * @param data a string, sent as UTF-8, or bytes, which are copied at once. May be empty.
   * @returns what came back. A server at its `maxConnections` rejects a send like any client: the promise resolves with
   * nothing, and `bytes` is 0. Rejects with code `ERR_SERVER_NOT_RUNNING` if the server is not listening and there is no
   * `host` or `port`; with a {@link SystemError} such as `ETIMEDOUT` after `timeout`, `ECONNREFUSED` or `ECONNRESET`, with
   * what had come back as `received`, or `ECANCELED` if the server stops first; with the error of `dns.lookup`, such as
   * `ENOTFOUND`, if `host` is not resolved; with an `AbortError` if `signal` fires; with a `TypeError` or `RangeError` for
   * invalid arguments.
   */
  send(data: string, options?: SendOptions): Promise<Echo<string>>
  send(data: Uint8Array, options?: SendOptions): Promise<Echo<Buffer>>
  send(data: string | Uint8Array, options?: SendOptions): Promise<Echo<string | Buffer>>
  async send(data: string | Uint8Array, options: SendOptions = {}): Promise<Echo<string | Buffer>> {
    const { to, timeout, halfCloseAfter, signal } = sendOptions(options)
    const times = { timeout, halfCloseAfter }
    const received = await (to ? elsewhere().send(data, to, times, signal) : this.#exchange(data, timeout, signal))
    return { echoed: typeof data === 'string' ? received.toString() : received, bytes: received.length }
  }

  /**
   * What the server has done since its last start, also after its end. Before the first start all zero.
   *
   * @throws an error with code `ERR_SERVER_FAILED` if the server ended because of an internal error.
   */
  stats(): Stats {
    if (this.#failure !== undefined) throw serverFailed(this.#failure)
    if (this.#native === undefined) return NO_STATS
    this.#native.stats(COUNTER_BYTES)
    return Object.freeze({
      totalConnections: COUNTERS[0]!,
      totalBytes: COUNTERS[1]!,
      activeConnections: COUNTERS[2]!,
      rejectedConnections: COUNTERS[3]!,
    })
  }

  /**
   * Stops without losing what has begun: carries out the sends, serves the clients in the backlog, closes the listener,
   * echoes what has arrived or is on its way, and closes. Resolves when every descriptor is closed; at once if the server is not
   * running. A second call during a stop can shorten the time, and resolves together with the first.
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const { timeout } = stopOptions(options)
    if (this.#address === undefined) return
    this.#native!.stop(timeout)
    await new Promise<void>((resolve) => {
      this.#stops ??= []
      this.#stops.push(resolve)
      this.#updateKeepAlive()
    })
  }

  /**
   * Cuts all connections that are open, those of sends too: as {@link Connection.close} does, or {@link Connection.reset}.
   *
   * @returns how many they are.
   */
  closeConnections(options: CloseOptions = {}): number {
    const { reset } = closeOptions(options)
    return this.#native?.cutAll(reset) ?? 0
  }

  /** Lets a listening server keep the process alive: the default. */
  ref(): this {
    this.#referenced = true
    this.#updateKeepAlive()
    return this
  }

  /** Lets the process end while the server is listening. Sends and stops under way still keep the process alive. */
  unref(): this {
    this.#referenced = false
    this.#updateKeepAlive()
    return this
  }

  /** Stops the server at the end of an `await using` block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  /** What `console.log` shows. */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { listening, host, port } = this
    const state = this.#failure === undefined ? this.stats() : { failure: this.#failure }
    return `EchoServer ${inspect({ listening, host, port, ...state }, options)}`
  }

  #exchange(data: unknown, timeout: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const begin = (id: number): Address => {
      const { listening } = this
      // From here on no code of others runs: it could detach the buffer.
      const bytes = payload(data)
      if (!listening || !this.#native!.send(id, bytes, timeout)) throw notRunning('sending')
      return this.#address!
    }
    return this.#sends.carryOut(signal, begin, (id) => this.#native?.cancel(id))
  }

  async #report({ settled, hasEnded, failure }: NativeReport): Promise<void> {
    this.#sends.settle(settled)
    // Reports are about sends or about events, and the last one about both.
    if (settled.length === 0) await (this.#delivery = this.#delivery.then(() => this.#deliverEvents()))
    if (hasEnded) this.#end(failure)
    this.#updateKeepAlive()
  }

  get #isObserved(): boolean {
    return CONNECTION_EVENTS.some((name) => this.listenerCount(name as keyof ConnectionEvents) > 0)
  }

  /**
   * Emits the events that have come, and between two of them lets the promises and ticks run that the first has set off, as
   * Node.js does: who awaits one event must be able to wait for the next. Timers, signals and I/O have their turn, too.
   */
  #deliverEvents(): Promise<void> {
    const native = this.#native!
    const events = readEvents(native.takeEvents(), native.cut.bind(native))
    let end = now() + SLICE
    let count = 0
    return new Promise<void>((resolve) => {
      // Cheaper than to await: this is most of what an event costs.
      const afterReactions = (): void => {
        if (++count % EVENTS_PER_LOOK !== 0 || now() < end) return nextTick(emitNext)
        setImmediate(() => {
          end = now() + SLICE
          emitNext()
        })
      }
      const emitNext = (): void => {
        const { value: event, done } = events.next()
        if (done) return resolve()
        if (this.#isToBeTold(event)) this.#emit(event)
        void SETTLED.then(afterReactions)
      }
      emitNext()
    }).then(() => void (this.#isObserved || native.setObserved(false)))
  }

  #isToBeTold([name, what]: ConnectionEvent): boolean {
    if (name === 'connection' && !this.#isObserved) this.#untold.add(what.id)
    return name === 'disconnect' ? !this.#untold.delete(what.id) : this.#isObserved
  }

  /** Emits an event. What a listener throws is an uncaught exception, and keeps nobody from the next event. */
  #emit(event: ConnectionEvent | ['close', error?: Error]): void {
    try {
      this.emit(...(event as ['missed', number]))
    } catch (error) {
      nextTick(() => {
        throw error
      })
    }
  }

  /** The I/O threads have ended. What is still pending was lost with them. */
  #end(failure: string | undefined): void {
    const canceled = { errno: -constants.errno.ECANCELED, syscall: 'read' }
    this.#sends.rejectAll((to) => (failure === undefined ? systemError(canceled, to) : serverFailed(failure)))
    this.#native!.release()
    this.#failure = failure
    this.#faults = undefined
    this.#address = undefined
    clearInterval(this.#keepAlive)
    this.#stops?.forEach((resolve) => resolve())
    this.#stops = undefined
    this.#emit(failure === undefined ? ['close'] : ['close', serverFailed(failure)])
  }

  #updateKeepAlive(): void {
    const isWanted = (this.listening && this.#referenced) || this.#stops !== undefined || this.#sends.areUnderWay
    if (isWanted) this.#keepAlive?.ref()
    else this.#keepAlive?.unref()
  }
}

/** Loaded when it is first needed: that takes time, and most sends go to the own server. */
function elsewhere(): typeof import('./client.ts') {
  return require('./client.js') as typeof import('./client.ts')
}

function notRunning(action: string): Error {
  return codedError('ERR_SERVER_NOT_RUNNING', `the server is not listening: start it before ${action}`)
}

function serverFailed(message: string): Error {
  return codedError('ERR_SERVER_FAILED', `the server failed: ${message}`)
}
