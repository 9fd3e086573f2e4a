// Compiles only if the types are found and say what they should.
import { EchoServer, send, start, stats, stop, type Stats, type SystemError } from 'echo-node'

declare const data: string | Uint8Array

export const port: number = start(0, { host: '127.0.0.1', maxConnections: 10, threads: undefined })
export const text: string = (await send('hello')).echoed
export const bytes: Buffer = (await send(new Uint8Array(3), { timeout: 100, signal: undefined })).echoed
export const either: string | Buffer = (await send(data)).echoed
export const counted: Stats = stats()
export const code = (error: SystemError): string => error.code
await stop({ timeout: undefined })

// @ts-expect-error: a number cannot be sent
await send(42)
// @ts-expect-error: ports are numbers
new EchoServer().start('7007')
