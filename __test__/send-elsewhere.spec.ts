// Sends to servers that are not the sender's own.

import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { setImmediate as immediate } from 'node:timers/promises'

import test from 'ava'

import { Deadline } from '../api/timers.ts'
import { EchoServer, send, stats, type SendOptions } from 'echo-node'

import { Child, killAll } from '../support/children.ts'
import { typescript } from '../support/paths.ts'
import { freePort } from '../support/ports.ts'
import { descriptors, threads } from '../support/proc.ts'
import { deferred, until } from '../support/wait.ts'
import { runScript } from './support/command.ts'
import { listening } from './support/listening.ts'
import { withoutAnswer } from './support/namespace.ts'
import { needing } from './support/tools.ts'

test.after.always(killAll)

test.serial('a send needs no server of its own, and its thread ends when it is idle', async (t) => {
  const before = descriptors()
  const { port } = listening(t)
  const open = descriptors()
  t.deepEqual(await send('grüße', { host: '127.0.0.1', port: port! }), { echoed: 'grüße', bytes: 7 })
  t.deepEqual(await send(Buffer.from([1, 2]), { port: port! }), { echoed: Buffer.from([1, 2]), bytes: 2 })
  t.deepEqual(await send('', { host: 'localhost', port: port! }), { echoed: '', bytes: 0 })
  t.is(threads('self', 'echo-client').length, 1)
  await until('its thread has ended', () => threads('self', 'echo-client').length === 0)
  t.is(descriptors(), open)
  t.true(open > before)
  // And another one begins.
  t.is((await send('again', { port: port! })).echoed, 'again')
})

test('the own server of the sender has no part in it', async (t) => {
  const [own, other] = [listening(t), listening(t)]
  await own.send('x', { port: other.port! })
  await send('x', { port: other.port! })
  t.is(own.stats().totalConnections, 0)
  t.is(other.stats().totalConnections, 2)
  t.is(stats().totalConnections, 0)
  await own.stop()
  t.is((await own.send('x', { port: other.port! })).echoed, 'x')
  await t.throwsAsync(own.send('x'), { code: 'ERR_SERVER_NOT_RUNNING' })
})

test('many at once, small and large', async (t) => {
  const server = listening(t)
  const sizes = Array.from({ length: 300 }, (_, index) => (index === 7 ? 20_000_000 : index))
  const echoes = await Promise.all(sizes.map((size) => send(Buffer.alloc(size, size), { port: server.port! })))
  t.true(echoes.every(({ echoed }, index) => echoed.equals(Buffer.alloc(sizes[index]!, sizes[index]))))
  t.is(server.stats().totalConnections, 300)
})

test('the data is copied at once, also while a name is resolved', async (t) => {
  const { port } = listening(t)
  const data = Buffer.from('before')
  const sent = send(data, { host: 'localhost', port: port! })
  data.fill('x')
  t.is((await sent).echoed.toString(), 'before')
})

test('of data that lies about its length the bytes that it has are sent', async (t) => {
  class Liar extends Uint8Array {
    override get length(): number {
      return 1000
    }
  }
  const { port } = listening(t)
  for (const host of ['127.0.0.1', 'localhost']) {
    t.deepEqual((await send(new Liar([1, 2, 3]), { host, port: port! })).echoed, Buffer.from([1, 2, 3]))
  }
})

test('a failure says the address, and what had come back', async (t) => {
  const closed = await freePort()
  const refused = { code: 'ECONNREFUSED', syscall: 'connect', address: '127.0.0.1', port: closed }
  for (const host of ['127.0.0.1', 'localhost']) {
    const error = await t.throwsAsync(send('x', { host, port: closed }))
    t.like(error, refused)
    t.false('received' in error)
  }
  const server = listening(t, { faults: { resetAfter: 3 } })
  const reset = await t.throwsAsync(send('hello', { port: server.port! }))
  t.like(reset, { code: 'ECONNRESET', syscall: 'read', received: Buffer.from('hel') })
  server.faults = { stallAfter: 3 }
  const late = await t.throwsAsync(send('hello', { port: server.port!, timeout: 2000 }))
  t.like(late, { code: 'ETIMEDOUT', syscall: 'read', received: Buffer.from('hel') })
})

test('a name that does not exist is the error of dns.lookup', async (t) => {
  const error = await t.throwsAsync(send('x', { host: 'nobody.invalid', port: 7 }))
  t.like(error, { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname: 'nobody.invalid' })
})

test('an abort ends a send, whether its name is resolved, it waits for its turn or for the echo', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop({ timeout: 0 }))
  const port = server.start(0, { faults: { stallAfter: 0 } })
  const control = new AbortController()
  const options = { port, signal: control.signal }
  const sends = Array.from({ length: 9 }, (_, index) =>
    send('x', { ...options, host: index % 2 ? 'localhost' : '127.0.0.1' }),
  )
  control.abort()
  for (const sent of sends) await t.throwsAsync(sent, { name: 'AbortError' })
  const signal = AbortSignal.timeout(100)
  await t.throwsAsync(send('x', { port, signal }), { name: 'AbortError' })
  await until('the server has dropped it', () => server.stats().activeConnections === 0)
})

const WRONG: [object, string][] = [
  [{ host: '127.0.0.1' }, 'options.port must be an integer from 1 to 65535, got undefined'],
  [{ host: '127.0.0.1', port: 0 }, 'options.port must be an integer from 1 to 65535, got 0'],
  [{ port: 65_536 }, 'options.port must be an integer from 1 to 65535, got 65536'],
  [{ port: '80' }, "options.port must be an integer from 1 to 65535, got '80'"],
  [{ host: 5, port: 1 }, 'options.host must be an IPv4 address or a name, got 5'],
  [{ host: null, port: 1 }, 'options.host must be an IPv4 address or a name, got null'],
  ...['', '::1', '[::1]', 'http://localhost', 'localhost:80', 'local host', 'a\0b', 'a/b'].map(
    (host): [object, string] => [{ host, port: 1 }, 'options.host must be an IPv4 address or a name, got '],
  ),
]

for (const [options, message] of WRONG) {
  test(`wrong options: ${JSON.stringify(options)}`, async (t) => {
    const error = await t.throwsAsync(send('x', options as SendOptions))
    t.true(error.message.startsWith(message), error.message)
    t.true((error as NodeJS.ErrnoException).code!.startsWith('ERR_'))
  })
}

test('a process that only sends ends at once, and not before', async (t) => {
  const server = listening(t, { faults: { delay: 300 } })
  for (const host of ['127.0.0.1', 'localhost']) {
    const { code, stdout } = await runScript('__test__/support/send-child.ts', {
      args: [host, `${server.port}`, '4000'],
    })
    t.deepEqual((JSON.parse(stdout) as { result: object }).result, { echoed: 'hello', bytes: 5 })
    t.is(code, 0)
  }
})

needing('unshare')('the time of a send begins before its name is resolved', async (t) => {
  const through = await withoutAnswer(t, '127.0.0.54', 'timeout:1 attempts:1')
  const child = new Child([...through, ...typescript('__test__/support/send-child.ts', ['any.test', '7', '200'])])
  const { result, took } = await child.json<{ result: object; took: number }>()
  t.deepEqual(result, { code: 'ETIMEDOUT', syscall: 'getaddrinfo' })
  t.true(took >= 195, `${took}`)
  t.is(await child.end(), 0)
})

// In a network of its own, with ten client ports that stay taken for a minute, as for another machine.
const FEW_PORTS = [
  'ip link set lo up',
  'echo 50000 50009 >/proc/sys/net/ipv4/ip_local_port_range',
  'echo 0 >/proc/sys/net/ipv4/tcp_tw_reuse',
  'exec "$@"',
].join(' && ')

needing('ip')('a server for which all client ports are taken keeps nobody from another one', async (t) => {
  const network = ['unshare', '--map-root-user', '--net', 'sh', '-c', FEW_PORTS, 'sh']
  const child = new Child([...network, ...typescript('__test__/support/ports-child.ts')])
  const { first, last, other } = await child.json<Record<string, unknown>>()
  t.is(first, 10)
  t.deepEqual(last, { code: 'EADDRNOTAVAIL', syscall: 'connect' })
  t.deepEqual(other, { echoed: 'x', bytes: 1 })
  t.is(await child.end(), 0)
})

test('a server that ends the connection at once is no failure', async (t) => {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.end('bye').resume())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  t.deepEqual(await send('hello', { port }), { echoed: 'bye', bytes: 3 })
})

test('a stall while a name is resolved costs no send', async (t) => {
  const { port } = listening(t)
  for (let turn = 0; turn < 10; turn++) {
    const sent = send('hello', { host: 'localhost', port: port!, timeout: 200 })
    // Longer than it may take. The name is resolved meanwhile.
    hold(300)
    t.is((await sent).echoed, 'hello')
  }
})

test('a deadline counts little of a stall', async (t) => {
  const { promise, resolve } = deferred()
  const begin = performance.now()
  const deadline = new Deadline(200, resolve)
  hold(300)
  await immediate()
  t.true(new Deadline(200, resolve).clear() > 150)
  t.true(deadline.clear() >= 150, 'two steps of the stall count')
  const next = new Deadline(100, resolve)
  await promise
  t.true(performance.now() - begin >= 400)
  t.true(next.clear() <= 0)
})

/** Keeps JavaScript busy for so many milliseconds. */
function hold(time: number): void {
  for (const begin = performance.now(); performance.now() - begin < time;);
}
