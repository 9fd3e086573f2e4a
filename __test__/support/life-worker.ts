// A worker that listens and has sends under way, until its end comes in the way it is told.

import { workerData } from 'node:worker_threads'

import { EchoServer, type SendOptions } from 'echo-node'
import { tell } from './to-parent.ts'

const { way, port, delay } = workerData as { way: string; port: number; delay: number }

const server = new EchoServer()

const ends: Record<string, () => void> = {
  exit: () => process.exit(7),
  throw: () => {
    throw new Error('on purpose')
  },
  // It ends because nothing keeps it alive.
  unref: () => server.unref(),
  // The parent terminates it.
  terminate: () => tell('now'),
}

let sending = true

function sendWhileAllowed(options: SendOptions): void {
  if (!sending) return
  server.send('x'.repeat(100_000), options).then(
    () => sendWhileAllowed(options),
    () => {},
  )
}

server.start(port)
tell('listening')
// As clients of its own server, and as those of any.
for (const options of [{}, {}, { port }, { port }]) sendWhileAllowed(options)
setTimeout(() => {
  if (way === 'unref') sending = false
  ends[way]!()
}, delay)
