// A server whose listeners throw, or call what they should be able to call.

import { EchoServer } from 'echo-node'
import { Client } from './clients.ts'

const [scene, action] = process.argv.slice(2) as [string, string | undefined]
const server = new EchoServer()

function throwInEach(): void {
  const told = { caught: 0, connections: 0, disconnects: 0 }
  process.on('uncaughtException', () => {
    told.caught++
    if (told.caught === 10) {
      console.log(JSON.stringify(told))
      void server.stop()
    }
  })
  server.on('connection', () => {
    told.connections++
    throw new Error('thrown by a listener')
  })
  server.on('disconnect', () => {
    told.disconnects++
    throw new Error('thrown by a listener')
  })
  console.log(server.start())
}

function fail(): void {
  server.on('connection', () => {
    throw new Error('thrown by a listener')
  })
  console.log(server.start())
}

/** Acts in the first event of a kind, and ends in order. */
async function act(): Promise<void> {
  const port = server.start(0, { maxConnections: 1, threads: 2 })
  server.once(scene as 'close', () => {
    if (action === 'stop') void server.stop().then(() => server.listening && process.exit(3))
    else if (action === 'closeConnections') server.closeConnections({ reset: true })
    else if (action === 'exit') process.exit(0)
    else if (scene === 'close') server.start(port)
    else if (!startFails()) process.exit(4)
  })
  // The handler may have reset the first, or stopped the server for the second, which is over the limit.
  const client = await Client.connect(port).catch(() => {})
  await client?.echo('x')
  await Client.connect(port).then(
    (other) => other.close(),
    () => {},
  )
  client?.socket.destroy()
  await server.stop()
  if (!server.listening) return
  // Started again by the handler, it serves.
  await (await Client.connect(port)).close()
  await server.stop()
}

function startFails(): boolean {
  try {
    server.start()
    return false
  } catch (error) {
    return (error as { code?: string }).code === 'ERR_SERVER_ALREADY_LISTEN'
  }
}

if (scene === 'throwing') throwInEach()
else if (scene === 'failing') fail()
else await act()
