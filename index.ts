// The types name `Buffer`; TypeScript 6 and later load no package's globals unless told.
/// <reference types="node" preserve="true" />

/**
 * A TCP echo server (RFC 862) made of the system calls `socket`, `bind`, `listen`, `accept`, `read` and `write`.
 *
 * The four functions act on one server, {@link defaultServer}: one in each JavaScript environment (the main thread, a
 * worker). {@link EchoServer} is for more than one.
 *
 * @example
 * import { start, send, stats, stop } from 'echo-node'
 *
 * const port = start() // any free port of 127.0.0.1
 * await send('hello') // { echoed: 'hello', bytes: 5 }
 * stats() // { totalConnections: 1, totalBytes: 5, activeConnections: 0, rejectedConnections: 0 }
 * await stop()
 */

import { EchoServer, type Echo, type Stats } from './api/echo-server.ts'
import type { SendOptions, StartOptions, StopOptions } from './api/options.ts'

export { EchoServer, type Echo, type Stats } from './api/echo-server.ts'
export type { SystemError } from './api/errors.ts'
export type { SendOptions, StartOptions, StopOptions } from './api/options.ts'

/** The server of the four functions. */
export const defaultServer = new EchoServer()

/** Lets the default server listen, and returns its port: {@link EchoServer.start}. */
export function start(port?: number, options?: StartOptions): number {
  return defaultServer.start(port, options)
}

/** Sends to the default server, and returns what came back: {@link EchoServer.send}. */
export function send(data: string, options?: SendOptions): Promise<Echo<string>>
export function send(data: Uint8Array, options?: SendOptions): Promise<Echo<Buffer>>
export function send(data: string | Uint8Array, options?: SendOptions): Promise<Echo<string | Buffer>> {
  return defaultServer.send(data as string, options)
}

/** What the default server has done since its last start: {@link EchoServer.stats}. */
export function stats(): Stats {
  return defaultServer.stats()
}

/** Stops the default server: {@link EchoServer.stop}. */
export function stop(options?: StopOptions): Promise<void> {
  return defaultServer.stop(options)
}
