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

/** Starts the default server, and returns its port: {@link EchoServer.start}. */
export const start = defaultServer.start.bind(defaultServer)

/** Sends to the default server, and returns what came back: {@link EchoServer.send}. */
export const send = defaultServer.send.bind(defaultServer)

/** What the default server has done since its last start: {@link EchoServer.stats}. */
export const stats = defaultServer.stats.bind(defaultServer)

/** Stops the default server: {@link EchoServer.stop}. */
export const stop = defaultServer.stop.bind(defaultServer)
