// Faults on purpose, through the API and the command. What each does is tested in crate/tests/faults.rs.

import { once } from 'node:events'
import { connect } from 'node:net'

import test from 'ava'
import * as fc from 'fast-check'

import { EchoServer, type Disconnect, type Faults } from 'echo-node'
import { killAll } from '../support/children.ts'
import { anonymousBytes, cpuUse, threads } from '../support/proc.ts'
import { Tracer } from '../support/strace.ts'
import { until } from '../support/wait.ts'
import { Client } from './support/clients.ts'
import { eventsUpTo, run, start } from './support/command.ts'
import { listening } from './support/listening.ts'
import { size } from './support/size.ts'
import { needing } from './support/tools.ts'

test.after.always(killAll)

test('faults are read once, before the server starts or changes', async (t) => {
  const failing = (members: object): Faults =>
    Object.defineProperty({ ...members }, 'note', { get: () => t.fail('it was read') })
  const server = listening(t, { faults: failing({ delay: 5 }) })
  t.deepEqual(server.faults, { delay: 5 })
  server.faults = failing({ endAfter: 0 })
  t.deepEqual(server.faults, { endAfter: 0 })
  t.is((await server.send('x')).bytes, 0)
  server.faults = Object.create({ resetAfter: 0 }) as Faults
  t.deepEqual(server.faults, { resetAfter: 0 })
  let reads = 0
  const options = Object.defineProperty({}, 'faults', {
    get: () => (reads++ === 0 ? { endAfter: 0 } : t.fail('again')),
  })
  const other = listening(t, options)
  t.deepEqual(other.faults, { endAfter: 0 })
})

test('faults are set at the start, changed while it runs, and ended', async (t) => {
  const given = { resetAfter: 3 }
  const server = listening(t, { faults: given })
  t.deepEqual(server.faults, given)
  given.resetAfter = 7
  t.deepEqual(server.faults, { resetAfter: 3 })
  const ending = once(server, 'disconnect')
  const client = await Client.connect(server.port!)
  client.socket.write('hello')
  t.is((await client.end())?.code, 'ECONNRESET')
  t.is(client.received.toString(), 'hel')
  t.like((await ending)[0], { reason: 'fault', bytes: 3 })

  server.faults = { endAfter: 0 }
  t.deepEqual(await server.send('hello'), { echoed: '', bytes: 0 })
  server.faults = undefined
  t.is((await server.send('hello')).bytes, 5)

  server.faults = { stallAfter: 2 }
  await t.throwsAsync(server.send('hello', { timeout: 100 }), { code: 'ETIMEDOUT' })
  const { port } = server
  await server.stop()
  t.throws(() => (server.faults = {}), {
    code: 'ERR_SERVER_NOT_RUNNING',
    message: 'the server is not listening: start it before setting its faults',
  })
  server.start(port)
  t.deepEqual([server.faults], [undefined])
  t.is((await server.send('hello')).bytes, 5)
})

test('wrong faults are refused by name', (t) => {
  const cases: [unknown, string, string][] = [
    [1, 'ERR_INVALID_ARG_TYPE', 'options.faults must be an object, got 1'],
    [null, 'ERR_INVALID_ARG_TYPE', 'options.faults must be an object, got null'],
    [{ delay: -1 }, 'ERR_OUT_OF_RANGE', 'options.faults.delay must be an integer from 0 to 4294967295, got -1'],
    [
      { delay: Number.NaN },
      'ERR_OUT_OF_RANGE',
      'options.faults.delay must be an integer from 0 to 4294967295, got NaN',
    ],
    [{ delay: '1s' }, 'ERR_INVALID_ARG_TYPE', "options.faults.delay must be an integer from 0 to 4294967295, got '1s'"],
    [
      { delay: [2, 1] },
      'ERR_INVALID_ARG_VALUE',
      "options.faults.delay must be a number, or a pair from, to with from <= to, got '[2, 1]'",
    ],
    [
      { delay: [1] },
      'ERR_INVALID_ARG_VALUE',
      "options.faults.delay must be a number, or a pair from, to with from <= to, got '[1]'",
    ],
    [{ delay: [1, -2] }, 'ERR_OUT_OF_RANGE', 'options.faults.delay must be an integer from 0 to 4294967295, got -2'],
    [
      { resetAftr: 1 },
      'ERR_INVALID_ARG_VALUE',
      "options.faults must be made of delay, rate, chunk, resetAfter, endAfter, stallAfter, share, seed, got 'resetAftr'",
    ],
    [{ rate: 0 }, 'ERR_OUT_OF_RANGE', 'options.faults.rate must be an integer from 1 to 9007199254740991, got 0'],
    [{ chunk: 0 }, 'ERR_OUT_OF_RANGE', 'options.faults.chunk must be an integer from 1 to 4294967295, got 0'],
    [
      { resetAfter: 1.5 },
      'ERR_OUT_OF_RANGE',
      'options.faults.resetAfter must be an integer from 0 to 9007199254740991, got 1.5',
    ],
    [{ share: 1.1 }, 'ERR_OUT_OF_RANGE', 'options.faults.share must be a number from 0 to 1, got 1.1'],
    [{ share: Number.NaN }, 'ERR_OUT_OF_RANGE', 'options.faults.share must be a number from 0 to 1, got NaN'],
    [{ share: '1' }, 'ERR_INVALID_ARG_TYPE', "options.faults.share must be a number from 0 to 1, got '1'"],
    [{ seed: -1 }, 'ERR_OUT_OF_RANGE', 'options.faults.seed must be an integer from 0 to 4294967295, got -1'],
    [
      { endAfter: 1, stallAfter: 2 },
      'ERR_INVALID_ARG_VALUE',
      'options.faults.stallAfter must be left out beside options.faults.endAfter, got 2',
    ],
  ]
  const server = listening(t)
  for (const [faults, code, message] of cases) {
    t.throws(() => new EchoServer().start(0, { faults: faults as Faults }), { code, message })
    const asProperty = message.replaceAll('options.faults', 'faults')
    t.throws(() => (server.faults = faults as Faults), { code, message: asProperty })
  }
  t.is(server.faults, undefined)
})

test('a rate is kept over two seconds', async (t) => {
  const RATE = 500_000
  for (const count of [1, 4]) {
    const server = listening(t, { faults: { rate: RATE }, threads: count })
    const client = await Client.connect(server.port!)
    const begin = performance.now()
    client.socket.write(Buffer.alloc(2 * RATE))
    await until('all is back', () => client.bytes === 2 * RATE)
    const seconds = (performance.now() - begin) / 1000
    t.log(`${Math.round((2 * RATE) / seconds)} bytes per second with ${count} threads`)
    // Never faster. A busy machine may make it slower.
    t.true(seconds > 1.9 && seconds < 20, `${seconds} s`)
    await client.close()
  }
})

needing('strace')('no write is larger than a chunk', async (t) => {
  const server = listening(t, { faults: { chunk: 10 } })
  const thread = await until('its I/O thread runs', () => threads('self', 'echo-io')[0])
  const tracer = await Tracer.attach(thread, '--trace=write')
  const client = await Client.connect(server.port!)
  t.true(await client.echo('x'.repeat(95)))
  await client.close()
  await tracer.detach()
  const sizes = [...tracer.trace.matchAll(/write\(\d+, "x+", \d+\) += (\d+)/g)].map(([, bytes]) => Number(bytes))
  t.deepEqual(sizes, [10, 10, 10, 10, 10, 10, 10, 10, 10, 5])
})

test('1,000 delayed connections cost no CPU between their timers, and one buffer each at most', async (t) => {
  const server = start(['serve', '--port', '0', '--delay', '20s', '--json'])
  const { port } = await server.json<{ port: number }>()
  const clients = await Promise.all(Array.from({ length: 1000 }, () => Client.connect(port)))
  const before = anonymousBytes(server.pid)
  for (const { socket } of clients) socket.write('x')
  clients[0]!.socket.write(Buffer.alloc(20 << 20))
  const io = threads(server.pid, 'echo-io')[0]!
  await until('the I/O thread sleeps', async () => (await cpuUse(io, server.pid, 200)) < 0.5)
  const use = await cpuUse(io, server.pid, 2000)
  t.log(`${use.toFixed(2)} % of a core`)
  t.true(use < 1, `${use} %`)
  const grown = anonymousBytes(server.pid) - before
  t.true(grown < 16 << 20, `${grown} bytes`)
  for (const { socket } of clients) socket.destroy()
})

test('faults as flags of serve', async (t) => {
  const server = start(['serve', '-p', '0', '--json', '--reset-after', '3', '--chunk', '2', '--share', '0.5'])
  const { port } = await server.json<{ port: number }>()
  const client = await Client.connect(port)
  client.socket.write('hello')
  t.is((await client.end())?.code, 'ECONNRESET')
  t.is(client.bytes, 3)
  t.true(await (await Client.connect(port)).echo('hello'))
  const [, end] = await eventsUpTo('disconnect', server)
  t.like(end, { reason: 'fault', bytes: 3 })
  const slow = start(['serve', '-p', '0', '--json', '--delay', '50ms-0.1s', '--rate', '1000', '--seed', '2'])
  const begin = performance.now()
  t.true(await (await Client.connect((await slow.json<{ port: number }>()).port)).echo('x'))
  t.true(performance.now() - begin > 50)
  const integer = 'must be an integer from 0 to 9007199254740991'
  const wrong: [string[], string][] = [
    [['--reset-after', '-1'], `--reset-after ${integer}, got -1`],
    [['--share', '2'], '--share must be a number from 0 to 1, got 2'],
    [['--delay', '2s-1s'], '--delay must be a range from a shorter to a longer duration, got "2s-1s"'],
    [['--delay', 'soon'], '--delay must be a duration in whole milliseconds, such as 500ms, 30s or 2m, got "soon"'],
    [['--end-after', '1', '--stall-after', '1'], '--stall-after must be left out beside --end-after, got 1'],
  ]
  for (const [args, message] of wrong) {
    t.like(await run(['serve', '-p', '0', ...args]), { code: 2, stderr: `echo-node: ${message}\n` })
  }
})

type Fate = 'resetAfter' | 'endAfter' | 'stallAfter'

const combination = fc.record({
  threads: fc.constantFrom(1, 4),
  delay: fc.option(fc.tuple(fc.nat(3), fc.integer({ min: 3, max: 10 })), { nil: undefined }),
  rate: fc.option(fc.integer({ min: 1e6, max: 1e8 }), { nil: undefined }),
  chunk: fc.option(fc.integer({ min: 50, max: 1e5 }), { nil: undefined }),
  fate: fc.option(fc.tuple(fc.constantFrom<Fate>('resetAfter', 'endAfter', 'stallAfter'), fc.nat(30_000)), {
    nil: undefined,
  }),
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  leaves: fc.boolean(),
  messages: fc.array(fc.integer({ min: 1, max: 10_000 }), { minLength: 1, maxLength: 4 }),
})

type Combination = typeof combination extends fc.Arbitrary<infer T> ? T : never

/** What the model says of one client: how much comes back, and how it ends. */
function model({ fate, messages, leaves }: Combination, isHit: boolean): { bytes: number; reason: string } {
  const sent = messages.reduce((sum, length) => sum + length)
  if (leaves) return { bytes: sent, reason: 'any' }
  if (!isHit || fate === undefined || sent < fate[1]) return { bytes: sent, reason: 'end' }
  return { bytes: fate[1], reason: fate[0] === 'stallAfter' ? 'reset' : 'fault' }
}

/** A client that resets while anything may be on its way. */
async function leave(port: number, { messages }: Combination): Promise<void> {
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  for (const length of messages) socket.write(Buffer.alloc(length))
  await new Promise(setImmediate)
  socket.resetAndDestroy()
  await until('it has left', () => socket.closed)
}

async function live(port: number, { messages }: Combination, expected: { bytes: number; reason: string }) {
  const socket = connect(port, '127.0.0.1')
  let [bytes, ended, code] = [0, false, '']
  socket.on('data', (data: Buffer) => (bytes += data.length))
  socket.on('end', () => (ended = true))
  socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code!))
  for (const length of messages) socket.write(Buffer.alloc(length))
  if (expected.reason === 'end') socket.end()
  if (expected.reason === 'reset') {
    await until('it stalls', () => bytes >= expected.bytes)
    socket.resetAndDestroy()
  }
  await until('it is over', () => socket.closed)
  if (bytes !== expected.bytes) throw new Error(`${bytes} of ${expected.bytes} bytes`)
  if (expected.reason === 'end' && !ended) throw new Error(`ended by ${code}`)
}

test(`${size(60, 1000)} combinations of faults give what the model says`, async (t) => {
  const property = fc.asyncProperty(combination, async (one) => {
    const { fate, share, delay, rate, chunk } = one
    const server = new EchoServer()
    const ends: Disconnect[] = []
    server.on('disconnect', (end) => ends.push(end))
    const port = server.start(0, {
      threads: one.threads,
      faults: { delay, rate, chunk, share, ...(fate && { [fate[0]]: fate[1] }) },
    })
    // Less by what a product may be wrong by.
    const part = share * (1 - 1e-12)
    for (let index = 0; index < 3; index++) {
      const isHit = Math.ceil((index + 1) * part) > Math.ceil(index * part)
      const expected = model(one, isHit)
      await (one.leaves ? leave(port, one) : live(port, one, expected))
      await until('its end is told', () => ends.length === index + 1)
      const { bytes, reason } = ends[index]!
      if (one.leaves ? bytes > expected.bytes : bytes !== expected.bytes || reason !== expected.reason) {
        throw new Error(`told ${reason} after ${bytes}, not ${expected.reason} after ${expected.bytes}`)
      }
    }
    await server.stop()
  })
  await fc.assert(property, { numRuns: size(60, 1000) })
  t.pass()
})
