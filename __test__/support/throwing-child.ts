// Listeners that throw while many clients come and go, and an exception handler that goes on. It prints what was wrong with
// the order of events: throwing-child.ts

import { connect } from 'node:net'

import { EchoServer } from 'echo-node'

process.on('uncaughtException', () => {})
const faults: string[] = []
const open = new Set<number>()
let connections = 0
const server = new EchoServer()
server.on('connection', ({ id }) => {
  open.add(id)
  if (++connections % 3 === 0) throw new Error('on purpose')
})
server.on('disconnect', ({ id }) => {
  if (!open.delete(id)) faults.push('an end before its connection')
  if (id % 5 === 0) throw new Error('on purpose')
})
server.on('close', () => {
  if (open.size > 0) faults.push(`${open.size} open at the end`)
  server.on('connection', () => faults.push('a connection after the end'))
})
const port = server.start()

function come(): Promise<void> {
  const client = connect(port, '127.0.0.1').resume().end('x')
  // Refused after the stop.
  return new Promise((resolve) => client.on('error', () => {}).on('close', () => resolve()))
}

await Promise.all(Array.from({ length: 300 }, come))
const coming = Promise.all(Array.from({ length: 300 }, come))
await server.stop()
await coming
const { totalConnections } = server.stats()
// For what comes late, if it does.
await new Promise((resolve) => setTimeout(resolve, 100))
console.log(JSON.stringify({ faults, left: totalConnections - connections }))
