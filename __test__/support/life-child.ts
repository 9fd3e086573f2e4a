// A process that listens on a port and has sends under way, until its end comes in the way it is told:
// life-child.ts WAY PORT MILLISECONDS

import { EchoServer, send, start, type SendOptions } from 'echo-node'

const [way, port, delay] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]

const ends: Record<string, () => void> = {
  exit: () => process.exit(7),
  throw: () => {
    throw new Error('on purpose')
  },
  // The parent sends the signal.
  signal: () => console.log('now'),
}

function sendWithoutEnd(options: SendOptions): void {
  send('x'.repeat(100_000), options).then(
    () => sendWithoutEnd(options),
    (error: Error) => console.error(error.message),
  )
}

start(port)
new EchoServer().start()
console.log('listening')
// As clients of its own server, and as those of any.
for (const options of [{}, {}, { port }, { port }]) sendWithoutEnd(options)
if (delay === 0) ends[way!]!()
else setTimeout(ends[way!]!, delay)
