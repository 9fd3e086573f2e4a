// TypeScript 6 and later load the types of Node.js only when told to. The API names `Buffer`.
/// <reference types="node" preserve="true" />

/**
 * A TCP echo server (RFC 862) made of the system calls `socket`, `bind`, `listen`, `accept`, `read` and `write`.
 *
 * The four functions act on one server, {@link defaultServer}. Each JavaScript environment (the main thread, each
 * worker) has its own. Use {@link EchoServer} for more servers.
 *
 * @example
 * import { start, send, stats, stop } from 'echo-node'
 *
 * const port = start() // any free port of 127.0.0.1
 * await send('hello') // { echoed: 'hello', bytes: 5 }
 * stats() // { totalConnections: 1, totalBytes: 5, activeConnections: 0, rejectedConnections: 0 }
 * await stop()
 */

import { EchoServer } from './api/echo-server.ts'

export type { Connection, ConnectionEvents, Disconnect, DisconnectReason, Peer } from './api/connections.ts'
export { EchoServer, type Echo, type ServerEvents, type Stats } from './api/echo-server.ts'
export type { Faults } from './api/faults.ts'
export type { SystemError } from './api/errors.ts'
export type { CloseOptions, SendOptions, StartOptions, StopOptions } from './api/options.ts'

/** The server of the four functions. */
export const defaultServer = new EchoServer()

/**
 * Starts the default server: {@link EchoServer.start}.
 *
 * @param port TCP port, 0 to 65535. 0, the default, takes any free port.
 * @param options where to listen (`host`, `backlog`), limits (`maxConnections`, `idleTimeout`), `threads`, `busyPoll` and
 * `faults`: all have defaults.
 * @returns the port it is listening on.
 * @throws `ERR_SERVER_ALREADY_LISTEN`; a system error such as `EADDRINUSE`; a `TypeError` or `RangeError` for invalid arguments.
 */
export const start = defaultServer.start.bind(defaultServer)

/**
 * Sends as a client, to the default server or, with the options `host` and `port`, to any other: {@link EchoServer.send}.
 *
 * @param data a string, sent as UTF-8, or bytes, which are copied at once. May be empty.
 * @param options `timeout` is 4000 ms unless it is given.
 * @returns what came back on the wire, which may be less, more or something else than was sent.
 * @throws rejects with `ERR_SERVER_NOT_RUNNING`; a system error such as `ETIMEDOUT`, `ECONNREFUSED` or `ECONNRESET`; an
 * `AbortError`; a `TypeError` or `RangeError` for invalid arguments.
 */
export const send = defaultServer.send.bind(defaultServer)

/**
 * What the default server has done since its last start; zeros before the first: {@link EchoServer.stats}.
 *
 * @returns connections and bytes, a snapshot.
 * @throws `ERR_SERVER_FAILED` if the server ended because of an internal error.
 */
export const stats = defaultServer.stats.bind(defaultServer)

/**
 * Stops the default server without losing what has begun: {@link EchoServer.stop}.
 *
 * @param options `timeout` is 1000 ms unless it is given: what is not over by then is cut off.
 * @returns a promise that is fulfilled when everything is closed; at once if the server is not running.
 * @throws rejects with a `TypeError` or `RangeError` for invalid arguments.
 */
export const stop = defaultServer.stop.bind(defaultServer)
