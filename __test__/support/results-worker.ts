// A worker that ends while the results of its sends come.

import { workerData } from 'node:worker_threads'

import { EchoServer } from 'echo-node'

const { count, length } = workerData as { count: number; length: number }

const server = new EchoServer()
const port = server.start()
for (let index = 0; index < count; index++) {
  // To its own server, and as a client of any.
  server.send(Buffer.alloc(length), index % 2 === 0 ? {} : { port }).catch(() => {})
}
setTimeout(() => process.exit(), 10)
