// A server in a process of its own, which tells its figures when asked: server-child.ts OPTIONS

import { createInterface } from 'node:readline'

import { EchoServer, type Stats } from 'echo-node'
import { anonymousBytes, descriptors } from '../../support/proc.ts'

/** The answer to a line. */
export interface Figures extends Stats {
  descriptors: number
  memory: number
}

const server = new EchoServer()
console.log(server.start(0, JSON.parse(process.argv[2] ?? '{}')))

for await (const line of createInterface(process.stdin)) {
  if (line === 'stop') await server.stop({ timeout: 5000 })
  // What earlier answers have left to collect would count as growth.
  globalThis.gc?.()
  const figures: Figures = { ...server.stats(), descriptors: descriptors(), memory: anonymousBytes('self') }
  console.log(JSON.stringify(figures))
}
