import { setTimeout as sleep } from 'node:timers/promises'

import test from 'ava'

import { EchoServer } from 'echo-node'
import { example } from './support/cargo.ts'
import { Child, killAll } from '../support/children.ts'
import { Client, parallel, roundTrip } from './support/clients.ts'
import { eventsUpTo, start } from './support/command.ts'
import { ioThread } from './support/fault-scene.ts'
import { size } from './support/size.ts'
import { Tracer } from '../support/strace.ts'
import { needing } from './support/tools.ts'
import { until, within } from '../support/wait.ts'

test.afterEach.always(killAll)

test.serial(
  'of many that come at once, as many as maxConnections are served, and all others are counted',
  async (t) => {
    const [most, all] = [50, 500]
    const server = new EchoServer()
    const port = server.start(0, { maxConnections: most })
    const clients: Client[] = []
    await parallel(all, all, async () => void clients.push(await Client.connect(port)))
    await until('all are decided', () => {
      const { totalConnections, rejectedConnections } = server.stats()
      return totalConnections + rejectedConnections === all
    })
    t.like(server.stats(), { totalConnections: most, activeConnections: most, rejectedConnections: all - most })
    await until('who is refused sees it', () => clients.filter(({ ended }) => ended).length === all - most)
    const open = clients.filter(({ ended }) => !ended)
    t.true((await Promise.all(open.map((client) => client.echo('served')))).every(Boolean))
    await Promise.all(clients.map((client) => client.close()))
    await server.stop()
  },
)

const IDLE = 400

test.serial(
  'a connection is closed when it was idle for idleTimeout, not before, and a sixteenth later at most',
  async (t) => {
    const server = new EchoServer()
    const port = server.start(0, { idleTimeout: IDLE })
    let soonest = Infinity
    for (let turn = 0; turn < size(3, 30); turn++) {
      const client = await Client.connect(port)
      t.true(await client.echo('the last word'))
      const before = performance.now()
      t.is(await client.end(), undefined)
      const quiet = performance.now() - before
      // The echo was on its way for a moment before the clock here began.
      t.true(quiet > IDLE - 50, `${quiet} ms`)
      soonest = Math.min(soonest, quiet)
      await client.close()
    }
    // A machine that is busy may come to one later still.
    t.true(soonest < 1.2 * IDLE, `${soonest} ms`)
    await server.stop()
  },
)

for (const threads of [1, 2]) {
  test.serial(`after a stop of the process clients whose data waits are served, with ${threads} threads`, async (t) => {
    // More than one wait of the poller takes.
    const count = 600
    const server = start(['serve', '--port', '0', '--idle-timeout', '2s', '--threads', `${threads}`, '--json'])
    const { port } = await server.json<{ port: number }>()
    const clients: Client[] = []
    await parallel(count, 100, async () => void clients.push(await Client.connect(port)))
    t.true((await Promise.all(clients.map((client) => client.echo('before')))).every(Boolean))
    server.process.kill('SIGSTOP')
    for (const client of clients) client.socket.write('meanwhile')
    // Longer than the timeout: time has to pass while nobody is served.
    await sleep(2500)
    server.process.kill('SIGCONT')
    const expected = 'beforemeanwhile'
    await until('all are served', () => clients.every(({ bytes, closed }) => closed || bytes === expected.length))
    t.true(clients.every((client) => client.received.toString() === expected))
    await Promise.all(clients.map((client) => client.close()))
    process.kill(server.pid, 'SIGTERM')
    // Its events are more than the kernel keeps for it.
    await eventsUpTo('stopped', server)
    t.is(await server.end(), 0)
  })
}

/** How much the server asks for when it reads a message. */
async function readSizes(port: number): Promise<number[]> {
  const tracer = await Tracer.attach(await ioThread(), '--trace=read', '--string-limit=0')
  const message = 'x'.repeat(10_000)
  if (String(await roundTrip(port, message)) !== message) throw new Error('the message did not come back')
  await tracer.detach()
  return [...new Set([...tracer.trace.matchAll(/, (\d+)\) += [1-9]/g)].map(([, bytes]) => Number(bytes)))]
}

// 1,048,576 while the connections together owe at most 64 MiB, 4,096 beyond.
needing('strace')(
  'reads are large up to 64 MiB of unsent data, small beyond, and large again afterwards',
  async (t) => {
    const server = new EchoServer()
    t.teardown(() => server.stop({ timeout: 0 }))
    const port = server.start()
    t.deepEqual(await readSizes(port), [1_048_576])
    // How much each is owed depends on how busy the machine is. They write little, or the kernel would be short of memory.
    const stalled: Child[] = []
    const isShort = async (): Promise<boolean> => {
      const more = new Child([await example('never_read'), `127.0.0.1:${port}`, '500', '200000'])
      stalled.push(more)
      await more.json(60_000)
      return (await readSizes(port))[0] === 4096
    }
    await until('reads are small', isShort, 60_000)
    t.deepEqual(await readSizes(port), [4096])
    // To read all that they are owed would take them minutes.
    await Promise.all(stalled.map((child) => child.kill()))
    await until('nothing is owed any more', () => server.stats().activeConnections === 0)
    t.deepEqual(await readSizes(port), [1_048_576])
  },
)

/** Waits until a client that does not read is owed so much that the server reads no more from it: its input is unread. */
async function stuck(server: EchoServer): Promise<void> {
  let before = -1
  await until('nothing moves any more', async () => {
    const { totalBytes } = server.stats()
    const isStuck = totalBytes > 100_000 && totalBytes === before
    before = totalBytes
    if (!isStuck) await sleep(100)
    return isStuck
  })
}

test.serial('a stop cuts off at its deadline who does not read, and not before', async (t) => {
  for (const timeout of [0, 300]) {
    const server = new EchoServer()
    const port = server.start()
    const [hostile, orderly] = [await Client.connect(port), await Client.connect(port)]
    hostile.socket.pause()
    hostile.socket.write(Buffer.alloc(16 << 20))
    t.true(await orderly.echo('hello'))
    await stuck(server)
    const before = performance.now()
    await within('the stop', server.stop({ timeout }))
    const took = performance.now() - before
    t.true(took >= timeout - 1, `${took} ms`)
    t.true(took < timeout + 1000, `${took} ms`)
    t.is(await orderly.end(), undefined)
    hostile.socket.resume()
    t.truthy(await hostile.end(), 'a reset')
    await Promise.all([orderly.close(), hostile.close()])
  }
})
