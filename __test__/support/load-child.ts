// Clients in a process of their own, so that their memory and their descriptors are not the server's:
// load-child.ts LOAD PORT COUNT

import { connect, type Socket } from 'node:net'
import { once } from 'node:events'

import { Client, parallel, roundTrip } from './clients.ts'

const [load, port, count] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]

/** What a load has to say at its end. */
export interface Report {
  served: number
}

/** How many connections are opened at once. */
const WIDTH = 100

function say(report: Report): void {
  console.log(JSON.stringify(report))
}

/** All connections at once, each echoing; they stay open until the next line. */
async function crowd(): Promise<void> {
  const clients: Client[] = []
  await parallel(count, WIDTH, async () => void clients.push(await Client.connect(port)))
  const echo = async (round: string) => {
    const answers = await Promise.all(clients.map((client, index) => client.echo(`${round} of client ${index}`)))
    say({ served: answers.filter(Boolean).length })
  }
  await echo('first message')
  await once(process.stdin, 'data')
  await echo('second message')
  await once(process.stdin, 'data')
  await Promise.all(clients.map((client) => client.close()))
}

/** One connection after the other: connect, echo, close. */
async function cycle(): Promise<void> {
  let served = 0
  await parallel(count, WIDTH, async (index) => {
    const text = `cycle ${index}`
    if (String(await roundTrip(port, text)) === text) served++
  })
  say({ served })
}

/** Connections that are reset: at once, after a write, after an echo, and with much on its way. */
async function reset(): Promise<void> {
  await parallel(count, WIDTH, async (index) => {
    const client = await Client.connect(port)
    if (index % 4 === 1) client.socket.write('unread')
    if (index % 4 === 2) await client.echo('read')
    if (index % 4 === 3) {
      client.socket.pause()
      client.socket.write(Buffer.alloc(1 << 20))
    }
    client.reset()
    await once(client.socket, 'close')
  })
  say({ served: count })
}

/** One connection on which everything that fits is always on its way. */
async function flood(): Promise<void> {
  const socket: Socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const block = Buffer.alloc(1 << 20)
  const write = () => {
    while (socket.write(block)) {
      // Until it is full.
    }
  }
  socket.on('drain', write)
  socket.once('data', () => say({ served: 1 }))
  socket.resume()
  write()
}

const loads: Record<string, () => Promise<void>> = { crowd, cycle, reset, flood }
await loads[load!]!()
