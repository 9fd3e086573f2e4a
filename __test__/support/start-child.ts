// Starts a server each time it is told to, and says how that went and what it left behind.
// Everything between a line and its answer is synchronous, so that the system calls in between are the start's.

import { readSync } from 'node:fs'

import { EchoServer } from 'echo-node'
import { descriptors, threads } from '../../support/proc.ts'

/** The answer to a line. */
export interface Started {
  port?: number
  error?: { code?: string; syscall?: string; errno?: number; message: string }
  leaked: { descriptors: number; threads: number }
}

function start(options: { port?: number; host?: string; threads?: number }): [EchoServer, Started] {
  const before = { descriptors: descriptors(), threads: threads().length }
  const server = new EchoServer()
  const answer: Partial<Started> = {}
  try {
    answer.port = server.start(options.port ?? 0, options)
  } catch (error) {
    const { code, syscall, errno, message } = error as NodeJS.ErrnoException
    answer.error = { message, ...(code && { code }), ...(syscall && { syscall }), ...(errno && { errno }) }
  }
  const leaked = { descriptors: descriptors() - before.descriptors, threads: threads().length - before.threads }
  return [server, { ...answer, leaked }]
}

const line = Buffer.alloc(4096)
console.log('ready')
for (let length; (length = readSync(0, line)) > 0;) {
  const [server, answer] = start(JSON.parse(line.toString('utf8', 0, length)))
  await server.stop()
  console.log(JSON.stringify(answer))
}
