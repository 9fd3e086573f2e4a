import { constants, networkInterfaces } from 'node:os'

import test from 'ava'

import * as api from 'echo-node'
import { EchoServer, type StartOptions } from 'echo-node'
import { until } from '../support/wait.ts'
import { listening } from './support/listening.ts'

test.serial('the four functions act on one server', async (t) => {
  t.teardown(() => api.stop())
  t.deepEqual(api.stats(), { totalConnections: 0, totalBytes: 0, activeConnections: 0, rejectedConnections: 0 })
  const port = api.start()
  t.true(port > 0)
  t.is(api.defaultServer.port, port)
  t.deepEqual(await api.send('hello'), { echoed: 'hello', bytes: 5 })
  t.deepEqual(await api.send(Buffer.from([0, 255])), { echoed: Buffer.from([0, 255]), bytes: 2 })
  t.deepEqual(api.stats(), { totalConnections: 2, totalBytes: 7, activeConnections: 0, rejectedConnections: 0 })
  t.is(await api.stop(), undefined)
})

test('a server says where it listens', async (t) => {
  const server = new EchoServer()
  t.deepEqual([server.listening, server.port, server.host], [false, undefined, undefined])
  const port = server.start(0, { host: '127.0.0.2', backlog: 1, threads: 2, busyPoll: 0, idleTimeout: 60_000 })
  t.deepEqual([server.listening, server.port, server.host], [true, port, '127.0.0.2'])
  const stopped = server.stop()
  t.false(server.listening)
  await stopped
  t.deepEqual([server.listening, server.port, server.host], [false, undefined, undefined])
})

test("'localhost' is 127.0.0.1", (t) => {
  t.is(listening(t, { host: 'localhost' }).host, '127.0.0.1')
})

test('a server reached by every address is reached by send', async (t) => {
  const server = listening(t, { host: '0.0.0.0' })
  t.is((await server.send('hello')).echoed, 'hello')
})

test('what is sent comes back, whatever it is', async (t) => {
  const server = listening(t)
  for (const text of ['', 'a', '\0', 'line\nline\r\n', '"\\', '\u{feff}bom', 'žluť 漢字 👩‍🚀', 'x'.repeat(5 << 20)]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other, for the message of a failure
    const { echoed, bytes } = await server.send(text)
    t.true(echoed === text, `${text.slice(0, 20)} came back as ${echoed.slice(0, 20)}`)
    t.is(bytes, Buffer.byteLength(text))
  }
  const view = new Uint8Array([9, 1, 2, 3, 9]).subarray(1, 4)
  t.deepEqual(await server.send(view), { echoed: Buffer.from([1, 2, 3]), bytes: 3 })
})

test('bytes are copied when send is called', async (t) => {
  const server = listening(t)
  const bytes = Buffer.from('before')
  const sending = server.send(bytes)
  bytes.fill('x')
  t.is((await sending).echoed.toString(), 'before')
})

test('stats are exact after any number of concurrent sends', async (t) => {
  const server = listening(t)
  const sizes = Array.from({ length: 1000 }, (_, index) => index)
  const echoes = await Promise.all(sizes.map((size) => server.send('x'.repeat(size))))
  t.deepEqual(
    echoes.map(({ bytes }) => bytes),
    sizes,
  )
  const totalBytes = sizes.reduce((sum, size) => sum + size)
  t.deepEqual(server.stats(), { totalConnections: 1000, totalBytes, activeConnections: 0, rejectedConnections: 0 })
})

test('stats are a snapshot', async (t) => {
  const server = listening(t)
  const before = server.stats()
  await server.send('x')
  t.is(before.totalBytes, 0)
  t.true(Object.isFrozen(before))
})

test('totals survive a stop, and begin again with a start', async (t) => {
  const server = listening(t)
  await server.send('hello')
  await server.stop()
  t.is(server.stats().totalBytes, 5)
  t.throws(() => server.start(0, { host: '192.0.2.1' }), { code: 'EADDRNOTAVAIL' })
  t.is(server.stats().totalBytes, 5)
  server.start()
  t.is(server.stats().totalBytes, 0)
})

test('a server that listens cannot be started', async (t) => {
  const server = listening(t)
  t.throws(() => server.start(), {
    code: 'ERR_SERVER_ALREADY_LISTEN',
    message: /already listening on 127\.0\.0\.1:\d+/u,
  })
  const stopped = server.stop()
  t.throws(() => server.start(), { code: 'ERR_SERVER_ALREADY_LISTEN', message: /still stopping/u })
  await stopped
  t.true(server.start() > 0)
})

test('a port that is taken is an error as Node makes it', (t) => {
  const port = listening(t).port ?? 0
  t.like(
    t.throws(() => new EchoServer().start(port)),
    {
      message: `bind EADDRINUSE: address already in use 127.0.0.1:${port}`,
      code: 'EADDRINUSE',
      errno: -constants.errno.EADDRINUSE,
      syscall: 'bind',
      address: '127.0.0.1',
      port,
    },
  )
})

test('bad arguments of start name what was expected and what came', (t) => {
  const cases: [unknown, unknown, string, string][] = [
    ['80', {}, 'ERR_INVALID_ARG_TYPE', "port must be an integer from 0 to 65535, got '80'"],
    [-1, {}, 'ERR_OUT_OF_RANGE', 'port must be an integer from 0 to 65535, got -1'],
    [65_536, {}, 'ERR_OUT_OF_RANGE', 'port must be an integer from 0 to 65535, got 65536'],
    [Number.NaN, {}, 'ERR_OUT_OF_RANGE', 'port must be an integer from 0 to 65535, got NaN'],
    [1.5, {}, 'ERR_OUT_OF_RANGE', 'port must be an integer from 0 to 65535, got 1.5'],
    [null, {}, 'ERR_INVALID_ARG_TYPE', 'port must be an integer from 0 to 65535, got null'],
    [0, null, 'ERR_INVALID_ARG_TYPE', 'options must be an object, got null'],
    [0, 'x', 'ERR_INVALID_ARG_TYPE', "options must be an object, got 'x'"],
    [0, { host: 1 }, 'ERR_INVALID_ARG_TYPE', 'options.host must be an IPv4 address, got 1'],
    ...['', 'localhost.', '::1', '1.2.3', '1.2.3.4.', '01.2.3.4', '256.0.0.1', ' 1.2.3.4'].map(
      (host): [number, { host: string }, string, string] => [
        0,
        { host },
        'ERR_INVALID_ARG_VALUE',
        `options.host must be an IPv4 address such as '127.0.0.1', got '${host}'`,
      ],
    ),
    [0, { backlog: 0 }, 'ERR_OUT_OF_RANGE', 'options.backlog must be an integer from 1 to 2147483647, got 0'],
    [
      0,
      { maxConnections: 0 },
      'ERR_OUT_OF_RANGE',
      'options.maxConnections must be an integer from 1 to 4294967295, got 0',
    ],
    [0, { idleTimeout: -1 }, 'ERR_OUT_OF_RANGE', 'options.idleTimeout must be an integer from 0 to 4294967295, got -1'],
    [0, { busyPoll: 1e9 }, 'ERR_OUT_OF_RANGE', 'options.busyPoll must be an integer from 0 to 1000000, got 1000000000'],
    [0, { threads: 65 }, 'ERR_OUT_OF_RANGE', 'options.threads must be an integer from 1 to 64, got 65'],
  ]
  for (const [port, options, code, message] of cases) {
    const server = new EchoServer()
    t.throws(() => server.start(port as number, options as StartOptions), { code, message })
    t.false(server.listening)
  }
})

test('bad arguments of send reject, and nothing is sent', async (t) => {
  const server = listening(t)
  const rejects = (data: unknown, options: unknown, expected: { code: string; message: string | RegExp }) =>
    t.throwsAsync(server.send(data as string, options as object), expected)
  await Promise.all([
    rejects(5, {}, { code: 'ERR_INVALID_ARG_TYPE', message: 'data must be a string or a Uint8Array, got 5' }),
    rejects(
      '\ud800x',
      {},
      {
        code: 'ERR_INVALID_ARG_VALUE',
        message: /^data must be well-formed Unicode, without lone surrogates, got '/u,
      },
    ),
    rejects(
      'x',
      { timeout: 0 },
      {
        code: 'ERR_OUT_OF_RANGE',
        message: 'options.timeout must be an integer from 1 to 4294967295, got 0',
      },
    ),
    rejects(
      'x',
      { signal: {} },
      {
        code: 'ERR_INVALID_ARG_TYPE',
        message: 'options.signal must be an AbortSignal, got {}',
      },
    ),
    t.throwsAsync(server.stop({ timeout: -1 }), { code: 'ERR_OUT_OF_RANGE' }),
  ])
  t.is(server.stats().totalConnections, 0)
  t.true(server.listening)
})

test('send before start and after stop rejects', async (t) => {
  const server = new EchoServer()
  await t.throwsAsync(server.send('early'), { code: 'ERR_SERVER_NOT_RUNNING' })
  server.start()
  const stopped = server.stop()
  await t.throwsAsync(server.send('late'), { code: 'ERR_SERVER_NOT_RUNNING' })
  await stopped
  await t.throwsAsync(server.send('later'), { code: 'ERR_SERVER_NOT_RUNNING' })
})

test('an aborted send rejects with the reason, and its connection is reset', async (t) => {
  const server = listening(t)
  const controller = new AbortController()
  const sending = server.send('x'.repeat(64 << 20), { signal: controller.signal })
  controller.abort(new Error('changed my mind'))
  t.like(await t.throwsAsync(sending), { name: 'AbortError', code: 'ABORT_ERR', cause: controller.signal.reason })
  await t.throwsAsync(server.send('x', { signal: controller.signal }), { code: 'ABORT_ERR' })
  await until('its connection is reset', () => server.stats().activeConnections === 0)
  t.is((await server.send('others are served')).bytes, 17)
})

test('a signal that fires after the end of a send does nothing', async (t) => {
  const server = listening(t)
  const controller = new AbortController()
  t.is((await server.send('x', { signal: controller.signal })).echoed, 'x')
  controller.abort()
  t.is((await server.send('y')).echoed, 'y')
})

test('a send past its timeout rejects', async (t) => {
  const server = listening(t)
  const error = await t.throwsAsync(server.send(Buffer.alloc(256 << 20), { timeout: 1 }))
  t.like(error, { code: 'ETIMEDOUT', errno: -constants.errno.ETIMEDOUT, address: '127.0.0.1', port: server.port })
})

test('stop finishes the sends that are in flight', async (t) => {
  const server = new EchoServer()
  server.start()
  const sends = Array.from({ length: 200 }, (_, index) => server.send(`${index}`))
  await server.stop({ timeout: 60_000 })
  t.deepEqual(
    (await Promise.all(sends)).map(({ echoed }) => echoed),
    sends.map((_, index) => `${index}`),
  )
})

test('a stop whose time is over rejects the sends that are not', async (t) => {
  const server = new EchoServer()
  server.start()
  const sending = server.send(Buffer.alloc(256 << 20), { timeout: 60_000 })
  const rejected = t.throwsAsync(sending, { code: 'ECANCELED' })
  await server.stop({ timeout: 0 })
  await rejected
})

test('stop resolves at once if there is nothing to stop, and twice if it is called twice', async (t) => {
  const server = new EchoServer()
  await server.stop()
  server.start()
  await Promise.all([server.stop(), server.stop()])
  t.false(server.listening)
})

test('await using stops a server at the end of its block', async (t) => {
  let server: EchoServer
  {
    await using scoped = new EchoServer()
    server = scoped
    server.start()
    t.true(server.listening)
  }
  t.false(server.listening)
})

test("'close' says that a server has ended, once for each start", async (t) => {
  const server = new EchoServer()
  const closes: unknown[][] = []
  server.on('close', (...args) => closes.push([...args, server.listening, server.port]))
  await server.stop()
  t.deepEqual(closes, [])
  for (let count = 1; count <= 2; count++) {
    server.start()
    await Promise.all([server.stop(), server.stop()])
    t.is(closes.length, count)
  }
  t.deepEqual(closes[0], [false, undefined])
  // A server can be started again in the event that ends it.
  server.start()
  server.once('close', () => server.start())
  await server.stop()
  t.is((await server.send('again')).echoed, 'again')
  await server.stop()
})

test('an address that nobody can connect to is refused', (t) => {
  const broadcasts = Object.values(networkInterfaces())
    .flatMap((infos) => infos ?? [])
    .filter(({ cidr }) => Number(cidr?.split('/')[1]) < 31 && cidr?.includes('.'))
    .map(({ address, netmask }) => {
      const mask = netmask.split('.').map(Number)
      return address.split('.').map((part, index) => Number(part) | (255 - mask[index]!))
    })
    .map((parts) => parts.join('.'))
    // macOS refuses only those of no network.
    .filter((host) => process.platform === 'linux' || host.startsWith('127.'))
  t.true(broadcasts.includes('127.255.255.255'))
  for (const host of ['224.0.0.0', '239.255.255.255', '255.255.255.255', ...broadcasts]) {
    const message = `bind EADDRNOTAVAIL: address not available ${host}:0`
    t.throws(() => new EchoServer().start(0, { host }), { code: 'EADDRNOTAVAIL', message })
  }
  // Addresses for future use are refused by the kernel, unless an interface has one.
  t.throws(() => new EchoServer().start(0, { host: '240.0.0.1' }), { code: 'EADDRNOTAVAIL' })
})
