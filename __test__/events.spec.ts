// What a server tells about its connections.

import { spawnSync } from 'node:child_process'
import { on, once } from 'node:events'
import { inspect } from 'node:util'
import { Worker } from 'node:worker_threads'

import test, { type ExecutionContext } from 'ava'

import { EchoServer, type Connection, type Disconnect, type Peer, type StartOptions } from 'echo-node'
import { killAll } from '../support/children.ts'
import { typescript } from '../support/paths.ts'
import { attempt } from '../support/run.ts'
import { threads } from '../support/proc.ts'
import { fail } from '../support/strace.ts'
import { until, within } from '../support/wait.ts'
import { Client, parallel } from './support/clients.ts'
import { eventsUpTo, runScript, start, startScript } from './support/command.ts'
import { size } from './support/size.ts'
import { needing } from './support/tools.ts'

test.after.always(killAll)

/** A server that remembers what it tells, and is stopped when the test is over. */
class Teller {
  readonly server = new EchoServer()
  readonly port: number
  readonly told: string[] = []
  readonly connections: Connection[] = []
  readonly ends: Disconnect[] = []
  readonly drops: Peer[] = []

  constructor(t: ExecutionContext, options?: StartOptions) {
    this.server.on('connection', (connection) => {
      this.connections.push(connection)
      this.told.push(`+${connection.id}`)
    })
    this.server.on('disconnect', (disconnect) => {
      this.ends.push(disconnect)
      this.told.push(`-${disconnect.id}`)
    })
    this.server.on('drop', (peer) => this.drops.push(peer))
    this.server.on('missed', (count) => t.fail(`${count} missed`))
    this.server.on('close', () => this.told.push('close'))
    this.port = this.server.start(0, options)
    t.teardown(() => this.server.stop({ timeout: 0 }))
  }

  /** Connects a client, and waits until that is told. */
  async connect(): Promise<[Client, Connection]> {
    const client = await Client.connect(this.port)
    const { localPort } = client.socket
    const find = () => this.connections.findLast(({ remotePort }) => remotePort === localPort)
    return [client, await until('the connection is told', find)]
  }

  /** Waits for the next end. */
  async end(): Promise<Disconnect> {
    const count = this.ends.length
    return await until('an end is told', () => this.ends[count])
  }
}

test('a connection is told with its address, and its end with what was echoed', async (t) => {
  const teller = new Teller(t)
  const [client, connection] = await teller.connect()
  t.like(connection, { id: 1, remoteAddress: '127.0.0.1', remotePort: client.socket.localPort })
  t.true(await client.echo('hello'))
  const ended = teller.end()
  await client.close()
  const { duration, ...rest } = await ended
  const { remoteAddress, remotePort } = connection
  t.deepEqual(rest, { id: 1, remoteAddress, remotePort, bytes: 5, reason: 'end' })
  t.true(duration > 0 && duration < 60_000)
  await teller.server.stop()
  t.deepEqual(teller.told, ['+1', '-1', 'close'])
})

test('each end has its reason', async (t) => {
  const impatient = new Teller(t, { idleTimeout: 50 })
  const wasIdle = impatient.end()
  const idle = await Client.connect(impatient.port)
  t.is((await wasIdle).reason, 'idle')
  t.is(await idle.end(), undefined)

  const teller = new Teller(t, { maxConnections: 1 })
  const reset = await teller.connect()
  const wasReset = teller.end()
  reset[0].reset()
  t.is((await wasReset).reason, 'reset')

  const [closed, connection] = await teller.connect()
  const wasClosed = teller.end()
  connection.close()
  t.is((await wasClosed).reason, 'closed')
  t.is(await closed.end(), undefined)

  const [cut, another] = await teller.connect()
  const wasCut = teller.end()
  another.reset()
  t.is((await wasCut).reason, 'closed')
  t.is((await cut.end())?.code, 'ECONNRESET')

  const [served] = await teller.connect()
  const dropped = await Client.connect(teller.port)
  await dropped.end()
  await until('the drop is told', () => teller.drops.length > 0)
  t.deepEqual(teller.drops, [{ remoteAddress: '127.0.0.1', remotePort: dropped.socket.localPort }])

  const wasStopped = teller.end()
  await teller.server.stop()
  t.is((await wasStopped).reason, 'stop')
  t.is(await served.end(), undefined)
  t.is(teller.told.at(-1), 'close')
})

test('a send has both events', async (t) => {
  const teller = new Teller(t)
  await teller.server.send('hello')
  await until('the end is told', () => teller.ends.length === 1)
  t.like(teller.ends[0], { id: 1, bytes: 5, reason: 'end' })
})

test('closing a connection that is gone does nothing, even if another has its place', async (t) => {
  const teller = new Teller(t)
  const [client, connection] = await teller.connect()
  const ended = teller.end()
  await client.close()
  await ended
  const [other] = await teller.connect()
  connection.reset()
  connection.close()
  t.true(await other.echo('still here'))
  await teller.server.stop({ timeout: 0 })
  connection.reset()
  teller.server.start(teller.port)
  connection.close()
  t.true(await (await Client.connect(teller.port)).echo('again'))
})

for (const reset of [false, true]) {
  test(`closeConnections, ${reset ? 'by a reset' : 'by an end'}`, async (t) => {
    const teller = new Teller(t, { threads: 2 })
    t.is(new EchoServer().closeConnections(), 0)
    const clients = await Promise.all(Array.from({ length: 300 }, () => teller.connect()))
    t.is(teller.server.closeConnections({ reset }), 300)
    for (const [client] of clients) t.is((await client.end())?.code, reset ? 'ECONNRESET' : undefined)
    await until('all ends are told', () => teller.ends.length === 300)
    t.true(teller.ends.every(({ reason }) => reason === 'closed'))
    t.is(teller.server.stats().activeConnections, 0)
    const wrong = { reset: 'yes' } as unknown as { reset: boolean }
    t.throws(() => teller.server.closeConnections(wrong), {
      code: 'ERR_INVALID_ARG_TYPE',
      message: "options.reset must be a boolean, got 'yes'",
    })
  })
}

test('closeConnections takes every client that is connected, also in the backlog, and those that a stop waits for', async (t) => {
  const teller = new Teller(t, { threads: 2 })
  const clients = await Promise.all(Array.from({ length: 400 }, () => Client.connect(teller.port)))
  t.is(teller.server.closeConnections({ reset: true }), 400)
  for (const client of clients) t.is((await client.end())?.code, 'ECONNRESET')
  await until('all ends are told', () => teller.ends.length === 400)

  const [stuck] = await teller.connect()
  stuck.socket.pause()
  stuck.socket.write(Buffer.alloc(300_000))
  await until('the echo is on its way', () => teller.server.stats().totalBytes >= 300_000)
  const stopped = teller.server.stop({ timeout: 60_000 })
  await until('it is drained', () => teller.ends.length === 401)
  t.is(teller.server.closeConnections({ reset: true }), 1)
  await stopped
})

test('more connections than a thread lets linger are closed, and each client reads all that was echoed', async (t) => {
  const teller = new Teller(t)
  const clients = await Promise.all(Array.from({ length: 400 }, () => Client.connect(teller.port)))
  for (const { socket } of clients) socket.pause().write(Buffer.alloc(100_000))
  await until('all is echoed', () => teller.server.stats().totalBytes === 400 * 100_000)
  teller.server.closeConnections()
  await until('all are cut', () => teller.ends.length === 400)
  for (const { socket } of clients) socket.write('more')
  for (const { socket } of clients) socket.resume()
  for (const client of clients) t.is(await client.end(), undefined)
  t.true(clients.every(({ bytes }) => bytes === 100_000))
})

test('who awaits one event can wait for the next, although both come together', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop({ timeout: 0 }))
  const port = server.start()
  for (let round = 0; round < 10; round++) {
    const connecting = once(server, 'connection')
    // JavaScript is blocked until the client has come and gone.
    const { status } = spawnSync(process.execPath, [
      '-e',
      `require('node:net').connect(${port}, '127.0.0.1').end('x').resume()`,
    ])
    t.is(status, 0)
    const [{ id }] = (await connecting) as [Connection]
    const [end] = (await within('its end', once(server, 'disconnect'))) as [Disconnect]
    t.like(end, { id, bytes: 1 })
  }
})

needing('strace')('an end by another error has its code', async (t) => {
  const server = start(['serve', '--port', '0', '--json'])
  const { port } = await server.json<{ port: number }>()
  const client = await Client.connect(port)
  t.true(await client.echo('x'))
  const faults = await fail(threads(server.pid, 'echo-io')[0]!, 'read', 'ETIMEDOUT', '1+')
  client.socket.write('y')
  const events = await eventsUpTo('disconnect', server)
  t.like(events.at(-1), { reason: 'error', code: 'ETIMEDOUT', bytes: 1 })
  await faults.detach()
})

test('events.once and events.on work', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop({ timeout: 0 }))
  const port = server.start()
  const connecting = once(server, 'connection')
  const client = await Client.connect(port)
  const [connection] = (await connecting) as [Connection]
  const disconnecting = once(server, 'disconnect')
  connection.close()
  t.like((await disconnecting)[0], { id: connection.id, reason: 'closed' })
  t.is(await client.end(), undefined)
  const ids: number[] = []
  const connections = on(server, 'connection')
  void Client.connect(port).then(() => Client.connect(port))
  for await (const [{ id }] of connections as AsyncIterable<[Connection]>) if (ids.push(id) === 2) break
  t.deepEqual(ids, [2, 3])
})

const ignore = (): void => {}

test('an end is told only if its connection was', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop({ timeout: 0 }))
  const port = server.start()
  const told: string[] = []
  server.on('connection', ignore)
  server.off('connection', ignore)
  const unseen = await Client.connect(port)
  t.true(await unseen.echo('x'))
  server.on('connection', () => told.push('connection'))
  server.on('disconnect', () => told.push('disconnect'))
  await unseen.close()
  const seen = await Client.connect(port)
  t.true(await seen.echo('x'))
  await seen.close()
  await until('an end is told', () => told.includes('disconnect'))
  await server.stop()
  t.deepEqual(told, ['connection', 'disconnect'])
})

test('listeners can be added in every way, and after all were removed', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop({ timeout: 0 }))
  const port = server.start()
  for (const add of ['on', 'addListener', 'prependListener', 'once', 'prependOnceListener'] as const) {
    const told = new Promise<Disconnect>((resolve) => server[add]('disconnect', resolve))
    await (await Client.connect(port)).close()
    t.is((await told).reason, 'end', add)
    server.removeAllListeners()
    await server.send('nobody is told of this')
  }
})

test('a listener that throws is an uncaught exception, and harms nobody else', async (t) => {
  const child = startScript('events-child.ts', ['throwing'])
  const port = Number(await child.line())
  const clients = await Promise.all(Array.from({ length: 5 }, () => Client.connect(port)))
  for (const client of clients) t.true(await client.echo('hello'))
  await Promise.all(clients.map((client) => client.close()))
  const told = await child.json<{ caught: number; connections: number; disconnects: number }>()
  t.deepEqual(told, { caught: 10, connections: 5, disconnects: 5 })
  t.is(await child.end(), 0)
})

test('without a handler for it, the exception ends the process', async (t) => {
  const child = startScript('events-child.ts', ['failing'])
  await Client.connect(Number(await child.line()))
  t.is(await child.end(), 1)
  t.regex(child.stderr, /Error: thrown by a listener/u)
})

for (const event of ['connection', 'disconnect', 'drop', 'close']) {
  for (const action of ['stop', 'start', 'closeConnections', 'exit']) {
    test(`${action} within a handler of ${event}`, async (t) => {
      const child = startScript('events-child.ts', [event, action])
      t.is(await child.end(), 0, child.stderr)
    })
  }
}

test('a worker that ends in the midst of events harms nobody', async (t) => {
  const source = `
    const { EchoServer } = require('echo-node')
    const server = new EchoServer().on('connection', () => {}).on('disconnect', () => {})
    require('node:worker_threads').parentPort.postMessage(server.start())`
  for (let round = 0; round < size(5, 50); round++) {
    const worker = new Worker(source, { eval: true })
    const [port] = (await once(worker, 'message')) as [number]
    const clients = await Promise.all(Array.from({ length: 20 }, () => Client.connect(port)))
    const ended = worker.terminate()
    for (const client of clients) client.socket.destroy()
    await ended
  }
  t.pass()
})

test('console.log shows what a person wants to know', async (t) => {
  const teller = new Teller(t)
  await teller.server.send('hello')
  await until('it is over', () => teller.server.stats().activeConnections === 0)
  const stats = 'totalConnections: 1, totalBytes: 5, activeConnections: 0, rejectedConnections: 0'
  t.is(
    inspect(teller.server, { breakLength: Infinity }),
    `EchoServer { listening: true, host: '127.0.0.1', port: ${teller.port}, ${stats} }`,
  )
  t.regex(inspect(new EchoServer()), /^EchoServer \{\s+listening: false,\s+host: undefined/u)
})

const CLIENTS = size(1000, 10_000)

for (const count of [1, 4]) {
  test(`${CLIENTS} clients give as many pairs of events with exact bytes, with ${count} threads`, async (t) => {
    const teller = new Teller(t, { threads: count })
    const expected = new Map<number, number>()
    await parallel(CLIENTS, 100, async (index) => {
      const client = await Client.connect(teller.port)
      const { localPort } = client.socket
      t.true(await client.echo('x'.repeat(1 + (index % 1000))))
      await client.close()
      // A port may serve more than once.
      expected.set(localPort!, (expected.get(localPort!) ?? 0) + client.bytes)
    })
    await until('all ends are told', () => teller.ends.length === CLIENTS)
    const got = new Map<number, number>()
    for (const { remotePort, bytes } of teller.ends) got.set(remotePort, (got.get(remotePort) ?? 0) + bytes)
    t.deepEqual(Object.fromEntries(got), Object.fromEntries(expected))
    const ids = teller.connections.map(({ id }) => id).toSorted((a, b) => a - b)
    t.deepEqual(
      ids,
      Array.from({ length: CLIENTS }, (_, index) => index + 1),
    )
    const open = new Set<string>()
    for (const what of teller.told) {
      if (what.startsWith('+')) open.add(what.slice(1))
      else t.true(open.delete(what.slice(1)), `${what} before its connection`)
    }
  })
}

test('while JavaScript is blocked, memory stays bounded, and what was left out is counted', async (t) => {
  const program = typescript('__test__/support/events-flood.ts', [`${size(5000, 100_000)}`])
  const { code, stdout, stderr } = await attempt(program, { timeout: 300_000 })
  t.is(code, 0, stderr)
  const flood = JSON.parse(stdout) as Record<
    'total' | 'connections' | 'disconnects' | 'missed' | 'grown' | 'turns',
    number
  >
  t.log(stdout.trim())
  t.is(flood.connections, flood.disconnects)
  t.is(flood.connections + flood.missed, flood.total)
  t.true(flood.connections >= Math.min(flood.total, 65_536))
  t.true(flood.grown < 64 * 1024 * 1024, `${flood.grown} bytes`)
  // Ten milliseconds of events at a time.
  t.true(flood.turns >= 5, `${flood.turns} turns`)
})

test('exceptions of listeners, of which a handler knows, leave every event in its place', async (t) => {
  const { code, stdout, stderr } = await runScript('__test__/support/throwing-child.ts')
  t.deepEqual(JSON.parse(stdout), { faults: [], left: 0 })
  t.deepEqual([code, stderr], [0, ''])
})
