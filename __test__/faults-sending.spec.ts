import { EchoServer, send, type SystemError } from 'echo-node'
import { ioThread, leftBehind, type Fault } from './support/fault-scene.ts'
import { faults } from './support/faults.ts'
import { cpuUse, descriptors, threads } from '../support/proc.ts'
import { fail, Tracer } from '../support/strace.ts'
import { needing } from './support/tools.ts'
import { until, within } from '../support/wait.ts'

const traced = needing('strace')

const SENDS = 6

/** How a send ended: with what came back, or with an error. */
type Ending = { bytes: number; intact: boolean } | SystemError

/** Sends one after the other, and meanwhile the fault strikes. */
async function strike({ syscall, errno, when }: Fault) {
  const before = { descriptors: descriptors(), threads: threads().length }
  const server = new EchoServer()
  server.start(0, { threads: 1 })
  const thread = await ioThread()
  const tracer = await fail(thread, syscall, errno, when)
  const endings: Ending[] = []
  for (let index = 0; index < SENDS; index++) {
    endings.push(await ending(server, `send ${index}`))
  }
  await until(`${syscall} fails with ${errno}`, () => tracer.injected > 0)
  await tracer.detach()
  const after = await ending(server, 'afterwards')
  const idleCpu = await cpuUse(thread)
  const stats = server.stats()
  await server.stop()
  return { endings, after, idleCpu, stats, leaked: await leftBehind(before) }
}

async function ending(server: EchoServer, text: string): Promise<Ending> {
  try {
    const { echoed, bytes } = await within('a send', server.send(text))
    return { bytes, intact: echoed === text }
  } catch (error) {
    return error as SystemError
  }
}

function isIntact(end: Ending): boolean {
  return 'intact' in end && end.intact
}

/** The client's own calls: whatever fails there is what the send is rejected with. */
const REJECTING: [string, string][] = [
  ['socket', 'ENOBUFS ENOMEM EACCES EAFNOSUPPORT EPROTONOSUPPORT'],
  ['setsockopt', 'ENOPROTOOPT EINVAL ENOMEM'],
  ['connect', 'ECONNREFUSED ENETUNREACH ETIMEDOUT EACCES EPERM EADDRINUSE EAFNOSUPPORT ENOBUFS'],
  ['shutdown', 'ENOBUFS'],
]

for (const [syscall, errnos] of REJECTING) {
  traced(`${syscall} that fails with ${errnos} rejects one send with it`, async (t) => {
    for (const fault of faults(syscall, errnos)) {
      const { endings, after, idleCpu, stats, leaked } = await strike(fault)
      const label = JSON.stringify(fault)
      const failed = endings.filter((end) => !isIntact(end))
      t.is(failed.length, 1, label)
      t.like(failed[0], { code: fault.errno, syscall, address: '127.0.0.1' }, label)
      t.true(isIntact(after), label)
      t.true(idleCpu < 5, `${label}: ${idleCpu} % of a core`)
      t.is(stats.activeConnections, 0, label)
      t.deepEqual(leaked, { descriptors: 0, threads: 0 }, label)
    }
  })
}

traced('no descriptor left for the client or for the server costs no send', async (t) => {
  for (const fault of [...faults('socket', 'EMFILE ENFILE'), ...faults('fcntl', 'EMFILE ENFILE')]) {
    const { endings, idleCpu, leaked } = await strike(fault)
    const label = JSON.stringify(fault)
    t.true(endings.every(isIntact), `${label}: ${JSON.stringify(endings)}`)
    t.true(idleCpu < 5, `${label}: ${idleCpu} % of a core`)
    t.deepEqual(leaked, { descriptors: 0, threads: 0 }, label)
  }
})

traced('connect that fails with EINTR EAGAIN EINPROGRESS EALREADY EADDRNOTAVAIL costs no send', async (t) => {
  const late = faults('connect', 'EINTR EAGAIN EINPROGRESS EALREADY')
  // Every client port is taken, and one will be free in a moment. A send connects twice, and meets this the first time.
  const full = faults('connect', 'EADDRNOTAVAIL', ['1', '3', '5'])
  for (const fault of [...late, ...full]) {
    const { endings, after, idleCpu, leaked } = await strike(fault)
    const label = JSON.stringify(fault)
    t.true([...endings, after].every(isIntact), `${label}: ${JSON.stringify(endings)}`)
    t.true(idleCpu < 5, `${label}: ${idleCpu} % of a core`)
    t.deepEqual(leaked, { descriptors: 0, threads: 0 }, label)
  }
})

// connect(2): for a TCP socket EAGAIN says that no port is free, not that a connection is under way.
traced('connect that goes on failing with EAGAIN is tried again every 10 ms, until the deadline', async (t) => {
  const server = new EchoServer()
  server.start(0, { threads: 1 })
  const tracer = await fail(await ioThread(), 'connect', 'EAGAIN', '1+')
  const error = await t.throwsAsync(within('a send', server.send('hello', { timeout: 500 })))
  await tracer.detach()
  t.like(error, { code: 'ETIMEDOUT', syscall: 'connect' })
  t.true(tracer.injected >= 2 && tracer.injected <= 100, `${tracer.injected} attempts in 500 ms`)
  t.true(isIntact(await ending(server, 'afterwards')))
  await server.stop()
})

/** These may strike either side of a send, the client's or the server's. */
const EITHER: [string, string, string[]][] = [
  ['read', 'EINTR EAGAIN ECONNRESET ETIMEDOUT ENOMEM EIO', ['1', '2', '3', '4', '5']],
  // The client's, then the server's. The third may be libuv's own, to its eventfd: it aborts if that fails.
  ['write', 'EINTR EAGAIN ECONNRESET EPIPE ENOBUFS ENOMEM', ['1', '2']],
  ['epoll_ctl', 'ENOMEM ENOSPC', ['1', '2', '3', '4', '5']],
  ['accept4', 'EINTR ECONNABORTED EMFILE ENOMEM', ['1', '2', '5']],
  ['epoll_wait', 'EINTR', ['1', '2', '5']],
]

for (const [syscall, errnos, when] of EITHER) {
  traced(`${syscall} that fails with ${errnos} on either side costs one send at most`, async (t) => {
    for (const fault of faults(syscall, errnos, when)) {
      const { endings, after, idleCpu, leaked } = await strike(fault)
      const label = JSON.stringify(fault)
      const harmless = /EINTR|EAGAIN|EMFILE|ECONNABORTED/.test(fault.errno) || fault.syscall === 'accept4'
      t.true(
        endings.filter((end) => !isIntact(end)).length <= (harmless ? 0 : 1),
        `${label}: ${JSON.stringify(endings)}`,
      )
      t.true(isIntact(after), label)
      t.true(idleCpu < 5, `${label}: ${idleCpu} % of a core`)
      t.deepEqual(leaked, { descriptors: 0, threads: 0 }, label)
    }
  })
}

traced('sends that are cut off reject with an error each', async (t) => {
  const server = new EchoServer()
  server.start(0, { threads: 1 })
  // Nobody serves them.
  const tracer = await fail(await ioThread(), 'accept4', 'EMFILE', '1+')
  const settled = Promise.allSettled(Array.from({ length: 100 }, () => server.send('x', { timeout: 60_000 })))
  await server.stop({ timeout: 0 })
  await tracer.end()
  const errors = (await settled).map((end) => (end.status === 'rejected' ? (end.reason as SystemError) : undefined))
  t.true(
    errors.every((error) => error?.code === 'ECANCELED' && error.address === '127.0.0.1' && error.syscall.length > 0),
  )
  t.is(new Set(errors).size, 100)
})

traced('a send resolves with what came back on the wire, not with what was sent', async (t) => {
  const server = new EchoServer()
  server.start(0, { threads: 1 })
  // The first write is the client's, the second the server's: there strace replaces the bytes in memory.
  const tracer = await Tracer.attach(
    await ioThread(),
    '--trace=write',
    `--inject=write:poke_enter=@arg2=${Buffer.from('HELLO').toString('hex')}:when=2`,
  )
  t.deepEqual(await server.send('hello'), { echoed: 'HELLO', bytes: 5 })
  await tracer.detach()
  t.deepEqual(await server.send('hello'), { echoed: 'hello', bytes: 5 })
  await server.stop()
})

traced('a panic on the thread of the client rejects its sends, and the next send has a new one', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop({ timeout: 0 }))
  const port = server.start(0, { faults: { stallAfter: 0 } })
  const waking = new AbortController()
  const to = { port, timeout: 60_000 }
  const [first, second, third] = [
    send('first', to),
    send('second', to),
    send('third', { ...to, signal: waking.signal }),
  ]
  third.catch(() => {})
  const errors = Promise.all(
    [first, second].map((sent) => t.throwsAsync<SystemError>(sent, { code: 'ERR_CLIENT_FAILED' })),
  )
  const thread = await until('there is a client', () => threads('self', 'echo-client')[0])
  // More events than there is room for: the bounds check of the first one past the end panics.
  const tracer = await Tracer.attach(
    thread,
    '--trace=epoll_wait',
    '--inject=?epoll_wait,?epoll_pwait:retval=1000:when=1+',
  )
  waking.abort()
  const [one, other] = await within('the sends', errors)
  await tracer.detach()
  t.not(one, other, 'an error each')
  server.faults = undefined
  t.is((await within('a send', send('fourth', { port }))).echoed, 'fourth')
})
