// The echo server and the client of the Maelstrom node on node:net.
import { connect, createServer, type AddressInfo } from 'node:net'

/** As many exchanges run at once as in this package's own node; more would be slower. */
const MOST_AT_ONCE = 64

/** An echo server that counts. */
export interface Listening {
  port: number
  connections: number
  bytes: number
  close(): void
}

/** Starts an echo server on loopback. */
export function listen(port: number): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      listening.connections += 1
      socket.on('error', () => socket.destroy())
      socket.on('data', (chunk: Buffer) => (listening.bytes += chunk.length))
      socket.pipe(socket)
    })
    const listening: Listening = { port, connections: 0, bytes: 0, close: () => server.close() }
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port, backlog: 511 }, () => {
      listening.port = (server.address() as AddressInfo).port
      resolve(listening)
    })
  })
}

let underWay = 0
const queue: (() => void)[] = []

/** Sends data over a connection of its own, half-closes, and gives what came back. */
export async function exchange(port: number, data: string): Promise<Buffer> {
  if (underWay >= MOST_AT_ONCE) await new Promise<void>((resolve) => queue.push(resolve))
  underWay += 1
  try {
    return await transfer(port, data)
  } finally {
    underWay -= 1
    queue.shift()?.()
  }
}

function transfer(port: number, data: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = connect({ host: '127.0.0.1', port })
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.once('end', () => resolve(Buffer.concat(chunks)))
    socket.once('error', reject)
    socket.end(data)
  })
}
