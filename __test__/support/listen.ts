/** A process with a server: listens when a line comes on stdin, prints the port, and ends with stdin. */

import { once } from 'node:events'
import { createInterface } from 'node:readline'

import { EchoServer } from 'echo-node'

const server = new EchoServer()
const input = createInterface({ input: process.stdin })
process.stdout.write('ready\n')
await once(input, 'line')
process.stdout.write(`${server.start()}\n`)
await once(input, 'close')
await server.stop()
