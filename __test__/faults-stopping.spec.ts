import { EchoServer, type Disconnect } from 'echo-node'
import { Client, roundTrip } from './support/clients.ts'
import { ioThread, leftBehind } from './support/fault-scene.ts'
import { cpuUse, descriptors, threads } from '../support/proc.ts'
import { fail, Tracer } from '../support/strace.ts'
import { needing } from './support/tools.ts'
import { until, within } from '../support/wait.ts'

const traced = needing('strace')

/** More than the client's receive buffer takes, less than that and the server's send buffer together. */
const UNREAD = 300_000

async function unreadEcho(port: number): Promise<Client> {
  const client = await Client.connect(port)
  client.socket.pause()
  client.socket.write(Buffer.alloc(UNREAD))
  return client
}

traced('a server that ends while clients have not read everything ends its side, and they get it all', async (t) => {
  const server = new EchoServer()
  const port = server.start(0, { threads: 1 })
  const client = await unreadEcho(port)
  await until('all is echoed', () => server.stats().totalBytes === UNREAD)
  const tracer = await Tracer.attach(await ioThread(), '--trace=shutdown,ioctl')
  const stopped = server.stop({ timeout: 30_000 })
  await until('it waits for the client', () => tracer.trace.includes('shutdown('))
  await client.close()
  await within('the stop', stopped)
  t.is(client.bytes, UNREAD)
  t.is(client.error, undefined)
  await tracer.detach()
})

for (const [syscall, errno, which] of [
  // Of each client it is first asked what waits to be read.
  ['ioctl', 'EINVAL', '3'],
  ['shutdown', 'ENOTCONN', '1'],
  ['shutdown', 'ENOBUFS', '1'],
] as const) {
  traced(`${syscall} that fails with ${errno} while the server stops closes that connection alone`, async (t) => {
    const before = { descriptors: descriptors(), threads: threads().length }
    const server = new EchoServer()
    const port = server.start(0, { threads: 1 })
    const clients = [await unreadEcho(port), await unreadEcho(port)]
    await until('all is echoed', () => server.stats().totalBytes === 2 * UNREAD)
    const tracer = await fail(await ioThread(), syscall, errno, which)
    const stopped = server.stop({ timeout: 30_000 })
    await until('one is closed', () => server.stats().activeConnections === 1)
    await Promise.all(clients.map((client) => client.close()))
    await within('the stop', stopped)
    await tracer.detach()
    t.is(tracer.injected, 1)
    t.true(clients.some(({ bytes, error }) => bytes === UNREAD && error === undefined))
    t.deepEqual(await leftBehind(before), { descriptors: 0, threads: 0 })
  })
}

traced('clients whose unread bytes cannot be asked for do not hold up a stop', async (t) => {
  const server = new EchoServer()
  const port = server.start(0, { threads: 1 })
  const clients = [await unreadEcho(port), await unreadEcho(port)]
  await until('all is echoed', () => server.stats().totalBytes === 2 * UNREAD)
  // The first two say that the clients have not read all: it waits for them.
  const tracer = await fail(await ioThread(), 'ioctl', 'EINVAL', '3+')
  await within('the stop', server.stop({ timeout: 600_000 }))
  await tracer.detach()
  t.true(tracer.injected > 0)
  await Promise.all(clients.map((client) => client.close()))
})

traced('shutdown that fails for a client that is turned away', async (t) => {
  const server = new EchoServer()
  const port = server.start(0, { maxConnections: 1, threads: 1 })
  const served = await Client.connect(port)
  t.true(await served.echo('first'))
  const tracer = await fail(await ioThread(), 'shutdown', 'ENOTCONN', '1')
  const refused = await Client.connect(port)
  await refused.end()
  await until('it fails', () => tracer.injected === 1)
  await tracer.detach()
  t.true(await served.echo('second'))
  t.like(server.stats(), { totalConnections: 1, rejectedConnections: 1, activeConnections: 1 })
  await Promise.all([served.close(), refused.close()])
  await server.stop()
})

// Linux lets the descriptor go whatever close(2) says; strace lets the call fail without making it, so that here the
// descriptor stays, and the poller goes on to report it.
traced('close that fails costs nobody else anything', async (t) => {
  for (const errno of ['EINTR', 'EIO']) {
    const server = new EchoServer()
    const port = server.start(0, { threads: 1 })
    const bystander = await Client.connect(port)
    t.true(await bystander.echo('before'))
    const tracer = await fail(await ioThread(), 'close', errno, '1')
    const client = await Client.connect(port)
    t.true(await client.echo('hello'))
    client.socket.end()
    await until('close fails', () => tracer.injected === 1)
    await tracer.detach()
    t.is(server.stats().activeConnections, 1)
    t.true(await bystander.echo('after'))
    t.is(String(await roundTrip(port, 'new')), 'new')
    client.reset()
    await bystander.close()
    await server.stop()
  }
})

traced('a panic on the I/O thread ends the server, and nothing else', async (t) => {
  const before = { descriptors: descriptors(), threads: threads().length }
  const server = new EchoServer()
  const closes: (NodeJS.ErrnoException | undefined)[] = []
  server.on('close', (error) => closes.push(error))
  const ends: Disconnect[] = []
  server.on('disconnect', (end) => ends.push(end))
  // Polls would count among the waits.
  const port = server.start(0, { threads: 1, busyPoll: 0 })
  const client = await Client.connect(port)
  const { localPort } = client.socket
  t.true(await client.echo('hello'))
  // More events than there is room for: the bounds check of the first one past the end panics.
  const tracer = await Tracer.attach(
    await ioThread(),
    '--trace=epoll_wait',
    '--inject=?epoll_wait,?epoll_pwait:retval=1000:when=3',
  )
  // So many cannot be over in two turns.
  const data = Buffer.alloc(1 << 20)
  const sends = Array.from({ length: 100 }, () => server.send(data))
  const endings = await within('the sends', Promise.allSettled(sends))
  const codes = endings.map((ending) => {
    return ending.status === 'rejected' ? (ending.reason as NodeJS.ErrnoException).code : ending.value.bytes
  })
  t.true(codes.includes('ERR_SERVER_FAILED'))
  // The last ones may have come after it.
  const known = new Set([data.length, 'ERR_SERVER_FAILED', 'ERR_SERVER_NOT_RUNNING'])
  t.deepEqual(
    codes.filter((code) => !known.has(code!)),
    [],
  )
  await client.end()
  await tracer.detach()
  t.is(closes.length, 1)
  t.is(closes[0]?.code, 'ERR_SERVER_FAILED')
  t.like(
    ends.find(({ remotePort }) => remotePort === localPort),
    { reason: 'error', code: 'ERR_SERVER_FAILED', bytes: 5 },
  )
  const reasons = endings.flatMap((ending) => (ending.status === 'rejected' ? [ending.reason as Error] : []))
  t.is(new Set(reasons).size, reasons.length, 'an error each')
  t.throws(() => server.stats(), { code: 'ERR_SERVER_FAILED', message: /index out of bounds/ })
  await t.throwsAsync(server.send('more'), { code: 'ERR_SERVER_NOT_RUNNING' })
  t.false(server.listening)
  await client.close()
  t.deepEqual(await leftBehind(before), { descriptors: 0, threads: 0 })
  t.is(server.start(port), port, 'its port is free, and it can start again')
  t.like(server.stats(), { totalConnections: 0, totalBytes: 0 })
  await server.stop()
})

traced('an epoll_wait that goes on failing costs no more than a look every 10 ms', async (t) => {
  const server = new EchoServer()
  const port = server.start(0, { threads: 1 })
  const thread = await ioThread()
  const tracer = await fail(thread, 'epoll_wait', 'ENOMEM', '1+')
  await until('it has failed', () => tracer.injected > 3)
  const cpu = await cpuUse(thread, 'self', 500)
  t.true(cpu < 5, `${cpu} % of a core`)
  await tracer.detach()
  t.is(String(await roundTrip(port, 'hello')), 'hello')
  // No event tells of the stop.
  const again = await fail(thread, 'epoll_wait', 'ENOMEM', '1+')
  await until('it fails again', () => again.injected > 0)
  await t.notThrowsAsync(within('the stop', server.stop()))
  await again.end()
})
