// A server, some clients, and a fault: who is lost, and what is left behind.

import { EchoServer, type Stats } from 'echo-node'
import { Client } from './clients.ts'
import { cpuUse, descriptors, polledTwice, threads } from '../../support/proc.ts'
import { fail } from '../../support/strace.ts'
import { until } from '../../support/wait.ts'

/** A system call of the I/O thread that fails. */
export interface Fault {
  syscall: string
  errno: string
  /** Which of the calls: strace's `when`. */
  when: string
}

/** What came of it. */
export interface Outcome {
  /** How many calls failed. */
  injected: number
  /** How many connections ended before their time. */
  lost: number
  stats: Stats
  /** Connections that the server was asked for. */
  connections: number
  /** CPU that the I/O thread used afterwards, without traffic, in percent of a core. */
  idleCpu: number
  /** Connections that two threads wait for. */
  polledByTwo: number
  /** Descriptors and threads there are at the end beyond those there were before. */
  leaked: { descriptors: number; threads: number }
}

const CLIENTS = 6

/** The first I/O thread of the one server of this process. */
export function ioThread(): Promise<number> {
  return until('there is one I/O thread', () => {
    const found = threads('self', 'echo-io')
    return found.length === 1 ? found[0] : undefined
  })
}

/** Clients come one after the other, each is echoed twice, and meanwhile the fault strikes the first I/O thread. */
export async function strike(fault: Fault, count = 1): Promise<Outcome> {
  const before = { descriptors: descriptors(), threads: threads().length }
  const server = new EchoServer()
  const port = server.start(0, { threads: count })
  const thread = await ioThread()
  const bystander = await served(port)
  const { clients, injected } = await clientsUnderFault(fault, thread, port)
  const connections = CLIENTS + 2
  // Those who are left are still served, and so are new clients.
  clients.push(bystander, await served(port))
  const survivors = await surviving(clients)
  const idleCpu = await cpuUse(thread)
  const polledByTwo = polledTwice().length
  await Promise.all(clients.map((client) => client.close()))
  await until('no connection is active', () => server.stats().activeConnections === 0)
  const stats = server.stats()
  await server.stop()
  const leaked = await leftBehind(before)
  return { injected, lost: connections - survivors, stats, connections, idleCpu, polledByTwo, leaked }
}

async function served(port: number): Promise<Client> {
  const client = await Client.connect(port)
  if (!(await client.echo('in order'))) throw new Error('a client in peace was not served')
  return client
}

async function clientsUnderFault({ syscall, errno, when }: Fault, thread: number, port: number) {
  const tracer = await fail(thread, syscall, errno, when)
  const clients: Client[] = []
  try {
    for (let index = 0; index < CLIENTS; index++) {
      // One that is reset at once may not even see that it was connected.
      const client = await Client.connect(port).catch(() => undefined)
      if (client === undefined) continue
      clients.push(client)
      if (await client.echo(`first ${index}`)) await client.echo(`second ${index}`)
    }
    await until(`${syscall} fails with ${errno}`, () => tracer.injected > 0)
  } finally {
    await tracer.detach()
  }
  return { clients, injected: tracer.injected }
}

async function surviving(clients: Client[]): Promise<number> {
  const open = clients.filter((client) => !client.closed && !client.ended)
  const answers = await Promise.all(open.map((client) => client.echo('still there')))
  return answers.filter(Boolean).length
}

/** Waits until descriptors and threads are as before. Returns what is left over. */
export async function leftBehind(before: { descriptors: number; threads: number }) {
  const difference = () => ({
    descriptors: descriptors() - before.descriptors,
    threads: threads().length - before.threads,
  })
  await until(
    'nothing is left behind',
    () => {
      const left = difference()
      return left.descriptors <= 0 && left.threads <= 0
    },
    2000,
  ).catch(() => {})
  return difference()
}
