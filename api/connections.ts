/** What a server tells about its connections. */

import { errorName } from './errors.ts'

/** The other end of a connection. */
export interface Peer {
  /** Its IPv4 address. */
  readonly remoteAddress: string
  /** Its TCP port. */
  readonly remotePort: number
}

/**
 * Why a connection ended: the client ended it (`'end'`) or reset it; it was idle for `idleTimeout`; the server stopped; it
 * was closed or reset from here (`'closed'`), or by one of the {@link Faults}; or a system call failed, or the server
 * (`'error'`).
 */
export type DisconnectReason = 'end' | 'reset' | 'idle' | 'stop' | 'closed' | 'fault' | 'error'

/** The end of a connection. */
export interface Disconnect extends Peer {
  /** That of its {@link Connection}. */
  readonly id: number
  /** Bytes echoed. */
  readonly bytes: number
  /** How long it was open, in milliseconds, to the microsecond. */
  readonly duration: number
  /** Why it ended. */
  readonly reason: DisconnectReason
  /** If the reason is `'error'`: the name of the error, such as `'ETIMEDOUT'` (errno(3)), or `'ERR_SERVER_FAILED'`. */
  readonly code?: string
}

/** The events about connections, with their arguments. */
export interface ConnectionEvents {
  /** A client was accepted, and is served. */
  connection: [connection: Connection]
  /** A connection that was told of has ended. */
  disconnect: [disconnect: Disconnect]
  /** A client was rejected because of `maxConnections`, or because there was no memory for it. */
  drop: [peer: Peer]
  /**
   * So many connections and drops were left out, with the ends of the connections, because 65,536 were already waiting
   * for JavaScript. {@link EchoServer.stats} counts them all.
   */
  missed: [count: number]
}

/** A connection of a server. */
export class Connection implements Peer {
  /** Counts up from 1 in the order in which the connections were accepted. */
  readonly id: number
  readonly remoteAddress: string
  readonly remotePort: number
  readonly #cut: (reset: boolean) => void

  /** @internal */
  constructor(id: number, remoteAddress: string, remotePort: number, cut: (reset: boolean) => void) {
    this.id = id
    this.remoteAddress = remoteAddress
    this.remotePort = remotePort
    this.#cut = cut
  }

  /**
   * Ends the connection: the client reads what has been written to it, then an end. An I/O thread does it a moment later, and
   * `'disconnect'` tells when. What the client sends from then on is dropped, and after a second at most the socket is closed.
   * Does nothing if the connection is over.
   */
  close(): void {
    this.#cut(false)
  }

  /**
   * Resets the connection: the client's next read fails with `ECONNRESET`. An I/O thread does it a moment later, and
   * `'disconnect'` tells when: what the client writes at once may still be echoed. Does nothing if the connection is over.
   */
  reset(): void {
    this.#cut(true)
  }
}

/** An event with its arguments. */
export type ConnectionEvent = {
  [Name in keyof ConnectionEvents]: [Name, ...ConnectionEvents[Name]]
}[keyof ConnectionEvents]

/** The engine's numbers for kinds of events (see `takeEvents` of the binding). After these come the reasons. */
const [CONNECTION, DROP, MISSED, FIRST_REASON] = [0, 1, 2, 3]
const REASONS: readonly DisconnectReason[] = ['end', 'reset', 'idle', 'stop', 'closed', 'fault', 'error', 'error']
const NUMBERS_PER_EVENT = 7

/** Cuts the connection in this slot of this thread, if it is still the one with this id. */
type Cut = (thread: number, slot: number, id: number, reset: boolean) => void

/** The events that the engine has written down as numbers. */
export function* readEvents(numbers: Float64Array, cut: Cut): Generator<ConnectionEvent> {
  // No spread of objects here: it would cost more than all the rest.
  for (let at = 0; at < numbers.length; at += NUMBERS_PER_EVENT) {
    const [kind, id, remotePort, a, b] = [
      numbers[at]!,
      numbers[at + 1]!,
      numbers[at + 3]!,
      numbers[at + 4]!,
      numbers[at + 5]!,
    ]
    const remoteAddress = dotted(numbers[at + 2]!)
    const reason = REASONS[kind - FIRST_REASON]
    if (kind === CONNECTION) {
      yield ['connection', new Connection(id, remoteAddress, remotePort, (reset) => cut(a, b, id, reset))]
    } else if (kind === DROP) yield ['drop', { remoteAddress, remotePort }]
    else if (kind === MISSED) yield ['missed', id]
    else {
      const end = { id, remoteAddress, remotePort, bytes: a, duration: b, reason: reason! }
      const errno = numbers[at + 6]!
      const code = errno === 0 ? 'ERR_SERVER_FAILED' : errorName(-errno)
      yield ['disconnect', reason === 'error' ? { ...end, code } : end]
    }
  }
}

/** An IPv4 address as people write it. */
function dotted(ip: number): string {
  return `${ip >>> 24}.${(ip >> 16) & 255}.${(ip >> 8) & 255}.${ip & 255}`
}
