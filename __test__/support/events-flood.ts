// Clients come and go while JavaScript is blocked: events-flood.ts COUNT. Prints what the server told of it, and by how much
// memory grew meanwhile.

import { spawnSync } from 'node:child_process'

import { EchoServer } from 'echo-node'
import { typescript } from '../../support/paths.ts'

const total = Number(process.argv[2])
const told = { total, connections: 0, disconnects: 0, missed: 0, grown: 0, turns: 0 }
const server = new EchoServer()
server.on('connection', () => {
  told.connections++
  // As a listener does that takes its time.
  const end = performance.now() + 0.02
  while (performance.now() < end);
})
server.on('disconnect', () => told.disconnects++)
server.on('missed', (count) => (told.missed += count))
const load = ['reset', String(server.start()), String(total)]
const before = process.memoryUsage.rss()
const [node, ...args] = typescript('__test__/support/load-child.ts', load)
const { status, stderr } = spawnSync(node!, args, { encoding: 'utf8' })
told.grown = process.memoryUsage.rss() - before
if (status !== 0) throw new Error(stderr)
// Those that a timer has while events are told.
const timer = setInterval(() => told.connections > 0 && told.turns++, 1)
await server.stop()
clearInterval(timer)
console.log(JSON.stringify(told))
