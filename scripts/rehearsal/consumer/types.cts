// The same from CommonJS, in both its ways.
import api = require('echo-node')
import { send, type EchoServer } from 'echo-node'

declare const data: string | Uint8Array

export const port: number = api.start(0, { host: undefined })
export const server: EchoServer = new api.EchoServer()
export const either: Promise<string | Buffer> = send(data).then(({ echoed }) => echoed)
