// Buffers, signals and timers that change, fail or call back while they are used.

import test from 'ava'

import { EchoServer } from 'echo-node'
import { until } from '../support/wait.ts'
import { listening } from './support/listening.ts'

test('bytes whose buffer is gone are refused, and not taken for no bytes', async (t) => {
  const server = listening(t)
  const transferred = new Uint8Array(4)
  structuredClone(transferred.buffer, { transfer: [transferred.buffer] })
  const posted = Buffer.from(new Uint8Array(4).buffer)
  new MessageChannel().port1.postMessage(posted, [posted.buffer])
  const options = { maxByteLength: 16 }
  const resizable = Reflect.construct(ArrayBuffer, [8, options]) as ArrayBuffer & { resize(size: number): void }
  const outOfBounds = new Uint8Array(resizable, 4, 4)
  resizable.resize(4)
  for (const data of [transferred, posted, outOfBounds]) {
    await t.throwsAsync(server.send(data), { instanceOf: TypeError, code: 'ERR_INVALID_ARG_TYPE' })
  }
  t.is(server.stats().totalConnections, 0)
  const tracking = new Uint8Array(resizable)
  for (const data of [new Uint8Array(0), new Uint8Array(new ArrayBuffer(0)), tracking, new Uint8Array(shared(3))]) {
    t.is((await server.send(data)).bytes, data.length)
  }
})

/** Whose code runs during a send, and detaches the buffer of its data. */
const DETACHERS: [name: string, options: (detach: () => undefined) => object][] = [
  ['an option', (detach) => Object.defineProperty({}, 'timeout', { get: detach })],
  ['a proxy of the options', (detach) => new Proxy({}, { get: detach })],
  ['a proxy of the signal', (detach) => ({ signal: new Proxy(oddSignal({}), { has: () => detach() ?? true }) })],
  ['the signal, as it is listened to', (detach) => ({ signal: oddSignal({ addEventListener: detach }) })],
  ['the signal, as it says whether it fired', (detach) => ({ signal: withGetter('aborted', detach) })],
]

for (const [name, options] of DETACHERS) {
  test(`data whose buffer is detached by ${name} is refused`, async (t) => {
    const server = listening(t)
    const data = new Uint8Array(4)
    const detach = (): undefined => void structuredClone(data.buffer, { transfer: [data.buffer] })
    await t.throwsAsync(server.send(data, options(once(detach))), {
      instanceOf: TypeError,
      code: 'ERR_INVALID_ARG_TYPE',
      message: /^data must be a Uint8Array whose buffer is not detached/,
    })
    await server.stop()
    t.is(server.stats().totalConnections, 0)
  })
}

test('data whose buffer is detached by a subclass is refused', async (t) => {
  const data = new Uint8Array(4)
  const server = new (class extends EchoServer {
    override get listening(): boolean {
      if (data.length > 0) structuredClone(data.buffer, { transfer: [data.buffer] })
      return true
    }
  })()
  const port = server.start()
  t.teardown(() => server.stop({ timeout: 0 }))
  t.true(port > 0)
  await t.throwsAsync(server.send(data), { code: 'ERR_INVALID_ARG_TYPE' })
  t.is(server.stats().totalConnections, 0)
})

test('a subclass whose stats throw has not failed', async (t) => {
  const server = new (class extends EchoServer {
    override stats = fail
  })()
  const closes: unknown[][] = []
  server.on('close', (...args) => closes.push(args))
  server.start()
  await server.stop()
  t.deepEqual(closes, [[]])
})

/** A function that does something the first time that it is called. */
function once(run: () => undefined): () => undefined {
  let isDone = false
  return () => {
    if (!isDone) run()
    isDone = true
  }
}

/** A signal whose member runs this when it is read. */
function withGetter(name: string, get: () => unknown): AbortSignal {
  return Object.defineProperty(oddSignal({}), name, { get })
}

function shared(size: number): SharedArrayBuffer {
  return new SharedArrayBuffer(size)
}

/** A signal that lacks something, or fails. */
function oddSignal(members: Record<string, unknown>): AbortSignal {
  return { aborted: false, reason: undefined, addEventListener() {}, ...members } as unknown as AbortSignal
}

test('a signal that cannot remove a listener does not break a send that is over', async (t) => {
  const server = listening(t)
  for (const members of [{}, { removeEventListener: 1 }, { removeEventListener: () => fail() }]) {
    t.is((await server.send('x', { signal: oddSignal(members) })).echoed, 'x')
  }
})

test('a signal that fails before a send leaves nothing on the wire', async (t) => {
  const server = listening(t)
  const signals = [
    oddSignal({ addEventListener: fail }),
    oddSignal({ addEventListener: 1 }),
    withGetter('aborted', fail),
  ]
  for (const signal of signals) {
    await t.throwsAsync(server.send('x', { signal }))
  }
  await server.stop()
  t.is(server.stats().totalConnections, 0)
})

test('a signal that fires while it is listened to aborts the send', async (t) => {
  const server = listening(t)
  const signal = oddSignal({})
  signal.addEventListener = () => Object.assign(signal, { aborted: true, reason: 'now' })
  t.like(await t.throwsAsync(server.send('x', { signal })), { name: 'AbortError', cause: 'now' })
  await server.stop()
  t.is(server.stats().totalConnections, 0)
})

const call = (_: string, listener: unknown): void => (listener as () => void)()

test('a signal that calls back before it says that it fired aborts the send', async (t) => {
  const started = listening(t)
  for (const server of [new EchoServer(), started]) {
    const controller = new AbortController()
    const aborting = Object.defineProperty(controller.signal, 'aborted', { get: () => controller.abort() })
    for (const signal of [oddSignal({ addEventListener: call }), aborting]) {
      t.like(await t.throwsAsync(server.send('x', { signal })), { name: 'AbortError', code: 'ABORT_ERR' })
    }
  }
  await started.stop()
  t.is(started.stats().totalConnections, 0)
})

test('a signal without a reason that can be read aborts the send all the same', async (t) => {
  const server = listening(t)
  const signal = withGetter('reason', fail)
  const listeners: (() => void)[] = []
  signal.addEventListener = (_: string, listener: unknown) => listeners.push(listener as () => void)
  const sending = server.send('x'.repeat(64 << 20), { signal })
  for (const listener of listeners) listener()
  t.like(await t.throwsAsync(sending), { name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'on purpose' } })
  await until('its connection is reset', () => server.stats().activeConnections === 0)
  Object.assign(signal, { aborted: true })
  t.like(await t.throwsAsync(server.send('x', { signal })), { name: 'AbortError', cause: { message: 'on purpose' } })
})

test.serial('fake timers that a test installs do not matter', async (t) => {
  const { setInterval, clearInterval, setTimeout, clearTimeout } = globalThis
  Object.assign(globalThis, { setInterval: fail, clearInterval: fail, setTimeout: fail, clearTimeout: fail })
  const now = performance.now.bind(performance)
  performance.now = fail
  try {
    const server = new EchoServer()
    const port = server.start()
    t.is((await server.send('hello')).echoed, 'hello')
    t.is((await server.send('hello', { host: 'localhost', port })).echoed, 'hello')
    await server.stop()
  } finally {
    performance.now = now
    Object.assign(globalThis, { setInterval, clearInterval, setTimeout, clearTimeout })
  }
})

function fail(): never {
  throw new Error('on purpose')
}
