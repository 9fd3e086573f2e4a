import { setTimeout as sleep } from 'node:timers/promises'

import test from 'ava'

import { EchoServer } from 'echo-node'
import { killAll } from '../support/children.ts'
import { Client, parallel } from './support/clients.ts'
import { start } from './support/command.ts'
import { size } from './support/size.ts'
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
    for (let turn = 0; turn < size(3, 30); turn++) {
      const client = await Client.connect(port)
      t.true(await client.echo('the last word'))
      const before = performance.now()
      t.is(await client.end(), undefined)
      const quiet = performance.now() - before
      // The echo was on its way for a moment before the clock here began.
      t.true(quiet > IDLE - 50, `${quiet} ms`)
      // A machine that is busy may come to it later still.
      t.true(quiet < 2 * IDLE, `${quiet} ms`)
      await client.close()
    }
    await server.stop()
  },
)

for (const threads of [1, 2]) {
  test.serial(`after a stop of the process clients whose data waits are served, with ${threads} threads`, async (t) => {
    // More than one wait of the poller takes.
    const count = 600
    const server = start(['serve', '--port', '0', '--idle-timeout', '1s', '--threads', `${threads}`, '--json'])
    const { port } = await server.json<{ port: number }>()
    const clients: Client[] = []
    await parallel(count, 100, async () => void clients.push(await Client.connect(port)))
    t.true((await Promise.all(clients.map((client) => client.echo('before')))).every(Boolean))
    server.process.kill('SIGSTOP')
    for (const client of clients) client.socket.write('meanwhile')
    // Longer than the timeout: time has to pass while nobody is served.
    await sleep(1500)
    server.process.kill('SIGCONT')
    const expected = 'beforemeanwhile'
    await until('all are served', () => clients.every(({ bytes, closed }) => closed || bytes === expected.length))
    t.true(clients.every((client) => client.received.toString() === expected))
    await Promise.all(clients.map((client) => client.close()))
    t.is(await server.kill('SIGTERM'), 0)
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
    await until('it is owed something', () => server.stats().totalBytes > 100_000)
    const before = performance.now()
    await within('the stop', server.stop({ timeout }))
    const took = performance.now() - before
    t.true(took >= timeout - 1, `${took} ms`)
    t.true(took < timeout + 1000, `${took} ms`)
    t.is(await orderly.end(), undefined)
    hostile.socket.resume()
    // A reset if it had sent more than the server had read, else an end before everything has come back.
    await hostile.end()
    t.true(hostile.bytes < 16 << 20, `${hostile.bytes} bytes came back`)
    await Promise.all([orderly.close(), hostile.close()])
  }
})
