import type { ExecutionContext } from 'ava'

import { EchoServer } from 'echo-node'
import { Client, parallel } from './support/clients.ts'
import { ioThread, strike, type Fault, type Outcome } from './support/fault-scene.ts'
import { faults } from './support/faults.ts'
import { cpuUse, threads } from '../support/proc.ts'
import { fail, Tracer } from '../support/strace.ts'
import { needing } from './support/tools.ts'
import { until } from '../support/wait.ts'

const traced = needing('strace')

/** A client that is gone: a pending error of its connection came instead of it (accept(2)). */
const GONE =
  'ECONNABORTED EPROTO EPERM ENETDOWN ENOPROTOOPT EHOSTDOWN ENONET EHOSTUNREACH EOPNOTSUPP ENETUNREACH ETIMEDOUT'

/** No descriptor or no memory to serve a client with. */
const EXHAUSTED = 'EMFILE ENFILE ENOBUFS ENOMEM'

/** Nobody is lost: the call is made again, now or when there is room. */
const HARMLESS: [string, string][] = [
  ['accept4', `EINTR EAGAIN ${GONE} ${EXHAUSTED}`],
  ['read', 'EINTR EAGAIN'],
  ['write', 'EINTR EAGAIN'],
  ['epoll_wait', 'EINTR ENOMEM EBADF'],
]

/** The connection it happens to is lost, and no other. */
const FATAL: [string, string][] = [
  ['read', 'ECONNRESET ETIMEDOUT EPIPE EHOSTUNREACH ENETUNREACH ENOBUFS ENOMEM EIO'],
  ['write', 'ECONNRESET EPIPE ETIMEDOUT EHOSTUNREACH ENETUNREACH ENOBUFS ENOMEM EPERM EIO'],
]

/** What no fault may do, whatever it is. */
function assertSound(t: ExecutionContext, fault: Fault, outcome: Outcome): void {
  const label = JSON.stringify(fault)
  const { totalConnections, rejectedConnections } = outcome.stats
  t.is(outcome.injected, 1, label)
  t.is(totalConnections + rejectedConnections, outcome.connections, label)
  t.true(outcome.idleCpu < 5, `${label}: ${outcome.idleCpu} % of a core`)
  t.is(outcome.polledByTwo, 0, label)
  t.deepEqual(outcome.leaked, { descriptors: 0, threads: 0 }, label)
}

for (const [syscall, errnos] of HARMLESS) {
  traced(`${syscall} that fails with ${errnos} costs no connection`, async (t) => {
    for (const fault of faults(syscall, errnos)) {
      const outcome = await strike(fault)
      assertSound(t, fault, outcome)
      t.is(outcome.lost, 0, JSON.stringify(fault))
      t.is(outcome.stats.rejectedConnections, 0)
    }
  })
}

for (const [syscall, errnos] of FATAL) {
  traced(`${syscall} that fails with ${errnos} costs one connection`, async (t) => {
    for (const fault of faults(syscall, errnos)) {
      const outcome = await strike(fault)
      assertSound(t, fault, outcome)
      t.is(outcome.lost, 1, JSON.stringify(fault))
      t.is(outcome.stats.rejectedConnections, 0)
    }
  })
}

// What is not heard of cannot be served.
traced('a connection that the poller does not take is refused, and counted', async (t) => {
  for (const fault of faults('epoll_ctl', 'ENOMEM ENOSPC')) {
    const outcome = await strike(fault)
    assertSound(t, fault, outcome)
    t.is(outcome.lost, 1, JSON.stringify(fault))
    t.is(outcome.stats.rejectedConnections, 1)
  }
})

// It also writes into the event counter that wakes the other thread, and takes what it hands over out of its poller.
for (const [syscall, errno, uses] of [
  ['write', 'EIO', 12],
  ['epoll_ctl', 'ENOMEM', 8],
] as const) {
  traced(`${syscall} of one of two I/O threads that fails costs at most one connection`, async (t) => {
    for (let which = 1; which <= uses; which++) {
      const fault = { syscall, errno, when: `${which}` }
      const outcome = await strike(fault, 2)
      assertSound(t, fault, outcome)
      t.true(outcome.lost <= 1, `${which}: ${outcome.lost}`)
    }
  })
}

function otherThread(): Promise<number> {
  return until('there is another I/O thread', () => {
    const found = threads('self', 'echo-io-1')
    return found.length === 1 ? found[0] : undefined
  })
}

traced('a connection that another I/O thread does not take is refused, and counted', async (t) => {
  // Those that are told of are dealt out at once, in turn, so each second one is that thread's.
  const server = new EchoServer().on('connection', () => {})
  const port = server.start(0, { threads: 2 })
  const tracer = await fail(await otherThread(), 'epoll_ctl', 'ENOMEM', '1')
  const clients = [
    await Client.connect(port),
    await Client.connect(port),
    await Client.connect(port),
    await Client.connect(port),
  ]
  await until('they are decided', () => {
    const { activeConnections, rejectedConnections } = server.stats()
    return activeConnections === 3 && rejectedConnections === 1
  })
  await tracer.detach()
  await until('one is refused', () => clients.filter(({ ended, closed }) => ended || closed).length === 1)
  t.is(server.stats().totalConnections, 3)
  const open = clients.filter(({ ended, closed }) => !ended && !closed)
  t.true((await Promise.all(open.map((client) => client.echo('served')))).every(Boolean))
  await Promise.all(clients.map((client) => client.close()))
  await server.stop()
})

traced('a connection that another I/O thread does not take over is lost, and no other', async (t) => {
  const server = new EchoServer()
  const port = server.start(0, { threads: 2 })
  const tracer = await fail(await otherThread(), 'epoll_ctl', 'ENOMEM', '1')
  const [first, second] = [await Client.connect(port), await Client.connect(port)]
  // Those that last are dealt out in turn: the second one is that thread's.
  for (const message of ['one', 'two']) t.true(await first.echo(message))
  for (const message of ['one', 'two']) await second.echo(message)
  // libuv takes a reset that it finds together with data for an end.
  await until('it is over', () => second.ended || second.closed)
  await tracer.detach()
  t.true(await first.echo('served'))
  const { totalConnections, activeConnections, rejectedConnections } = server.stats()
  t.deepEqual(
    { totalConnections, activeConnections, rejectedConnections },
    { totalConnections: 2, activeConnections: 1, rejectedConnections: 0 },
  )
  await first.close()
  await server.stop()
})

// An end would look as if everything had come back.
traced('a connection whose write fails is reset, though all its input was read', async (t) => {
  const server = new EchoServer()
  const client = await Client.connect(server.start(0, { threads: 1 }))
  t.true(await client.echo('hello'))
  const tracer = await fail(await ioThread(), 'write', 'ENOBUFS', '1')
  client.socket.write('more')
  t.is((await client.end())?.code, 'ECONNRESET')
  await tracer.detach()
  await server.stop()
})

// It would never be heard of again.
traced('a connection whose interest cannot be changed is closed, and no other', async (t) => {
  const server = new EchoServer()
  const port = server.start(0, { threads: 1 })
  const [hungry, other] = [await Client.connect(port), await Client.connect(port)]
  t.true(await hungry.echo('hello'))
  const tracer = await fail(await ioThread(), 'epoll_ctl', 'ENOMEM', '1')
  hungry.socket.pause()
  hungry.socket.write(Buffer.alloc(16 << 20))
  await until('the change of interest fails', () => tracer.injected === 1)
  await tracer.detach()
  hungry.socket.resume()
  t.truthy(await hungry.end(), 'it was closed with input unread, so it sees a reset')
  t.true(await other.echo('hello'))
  t.is(server.stats().activeConnections, 1)
  await other.close()
  await server.stop()
})

// A firewall that refuses everything says EPERM each time.
for (const errno of [...EXHAUSTED.split(' '), 'EPERM']) {
  traced(`while accept says ${errno}, the server sleeps, and then it serves all who waited`, async (t) => {
    const server = new EchoServer()
    const port = server.start(0, { threads: 1 })
    const thread = await ioThread()
    const open = await Client.connect(port)
    t.true(await open.echo('before'))
    const tracer = await fail(thread, 'accept4', errno, '1+')
    const waiting: Client[] = []
    await parallel(200, 200, async () => void waiting.push(await Client.connect(port)))
    await until('accept has failed several times', () => tracer.injected >= 3)
    const cpu = await cpuUse(thread, 'self', 500)
    t.log(`${cpu.toFixed(2)} % of a core while 200 clients wait`)
    t.true(cpu < 5)
    t.true(await open.echo('meanwhile'), 'who is connected is served')
    const echoes = waiting.map((client, index) => client.echo(`waited ${index}`))
    await tracer.detach()
    t.true((await Promise.all(echoes)).every(Boolean))
    await Promise.all([open, ...waiting].map((client) => client.close()))
    await server.stop()
  })
}

traced('a listener that can neither be taken out of the poller nor put back serves on', async (t) => {
  const server = new EchoServer()
  const port = server.start(0, { threads: 1 })
  const thread = await ioThread()
  // The first change is the removal, the second the return.
  const tracer = await Tracer.attach(
    thread,
    '--inject=accept4:error=EMFILE:when=1..3',
    '--inject=epoll_ctl:error=ENOMEM:when=1..2',
  )
  const client = await Client.connect(port)
  t.true(await client.echo('patience'))
  await tracer.detach()
  t.is(tracer.injected, 5)
  t.true((await cpuUse(thread)) < 5)
  await client.close()
  await server.stop()
})
