import { getEventListeners, once, setMaxListeners } from 'node:events'
import { Worker } from 'node:worker_threads'

import test from 'ava'

import { EchoServer, type SystemError } from 'echo-node'
import { roundTrip } from './support/clients.ts'
import { leftBehind } from './support/fault-scene.ts'
import { freePort } from '../support/ports.ts'
import { anonymousBytes, descriptors, threads } from '../support/proc.ts'
import { size } from './support/size.ts'
import { deferred, until, within } from '../support/wait.ts'

const NOTHING = { descriptors: 0, threads: 0 }

function now() {
  return { descriptors: descriptors(), threads: threads().length }
}

test.serial(`a server starts and stops ${size(500, 10_000)} times, and nothing is left of it`, async (t) => {
  const times = size(500, 10_000)
  const port = await freePort()
  const server = new EchoServer()
  const before = now()
  let memory = 0
  for (let turn = 0; turn < times; turn++) {
    server.start(port)
    if (turn % 2 === 0) await server.send('hello')
    await server.stop()
    if (turn === times / 10) memory = anonymousBytes('self')
    // Not a descriptor more, not even until the next garbage collection. The kernel lists a thread for a moment after it
    // was joined.
    t.true(descriptors() <= before.descriptors)
    await until('its thread is gone', () => threads().length <= before.threads)
  }
  const grown = anonymousBytes('self') - memory
  t.log(`grown by ${(grown / 2 ** 20).toFixed(1)} MiB`)
  t.true(grown < 16 << 20, `${grown} bytes`)
})

test.serial('several servers do not know of one another', async (t) => {
  const before = now()
  const servers = Array.from({ length: 20 }, () => new EchoServer())
  const ports = servers.map((server) => server.start())
  t.is(new Set(ports).size, servers.length)
  await Promise.all(servers.flatMap((server, index) => Array.from({ length: index }, () => server.send('12345'))))
  for (const [index, server] of servers.entries()) {
    t.like(server.stats(), { totalConnections: index, totalBytes: 5 * index, activeConnections: 0 })
  }
  await Promise.all(servers.map((server) => server.stop()))
  t.deepEqual(await leftBehind(before), NOTHING)
})

test.serial('a worker that ends while the results of its sends come leaves none of them', async (t) => {
  const [count, length] = [20, 1_000_000]
  const live = async (): Promise<void> => {
    const worker = new Worker(new URL('./support/results-worker.ts', import.meta.url), {
      workerData: { count, length },
    })
    await once(worker, 'exit')
  }
  for (let turn = 0; turn < 3; turn++) await live()
  const before = anonymousBytes('self')
  for (let turn = 0; turn < 10; turn++) await live()
  const grown = anonymousBytes('self') - before
  t.log(`grown by ${(grown / 2 ** 20).toFixed(1)} MiB`)
  t.true(grown < (10 * count * length) / 8, `${grown} bytes`)
})

for (const way of ['terminate', 'exit', 'throw', 'unref']) {
  test.serial(`a worker ends by ${way} while its server listens and sends are in flight`, async (t) => {
    const port = await freePort()
    // The first one loads what stays loaded.
    await workerLife(way, port, 0)
    const before = now()
    for (let turn = 0; turn < size(10, 100); turn++) {
      const code = await workerLife(way, port, Math.floor(Math.random() * 20))
      t.is(code, { terminate: 1, exit: 7, throw: 1, unref: 0 }[way]!)
      const next = new EchoServer()
      t.is(next.start(port), port, 'the port is free as soon as the worker is gone')
      await next.stop()
    }
    t.deepEqual(await leftBehind(before), NOTHING)
  })
}

/** The exit code of a worker that was ended in this way. */
function workerLife(way: string, port: number, delay: number): Promise<number> {
  const worker = new Worker(new URL('support/life-worker.ts', import.meta.url), { workerData: { way, port, delay } })
  const exited = deferred<number>()
  worker.on('exit', (code: number) => exited.resolve(code))
  worker.on('error', (error) => error.message === 'on purpose' || exited.reject(error))
  worker.on('message', (message) => message === 'now' && void worker.terminate())
  return within(`the end of a worker by ${way}`, exited.promise)
}

test.serial('each worker has a default server of its own', async (t) => {
  const ports = await Promise.all(
    Array.from({ length: 3 }, async () => {
      const worker = new Worker(new URL('support/default-worker.ts', import.meta.url))
      const answer = deferred<{ port: number; totalConnections: number }>()
      worker.on('message', answer.resolve)
      worker.on('error', answer.reject)
      return await within('a worker', answer.promise)
    }),
  )
  t.is(new Set(ports.map(({ port }) => port)).size, 3)
  t.true(ports.every(({ totalConnections }) => totalConnections === 1))
})

test.serial('a send is given up when its signal fires: on the wire, in the queue, before it begins', async (t) => {
  const server = new EchoServer()
  const port = server.start()
  const control = new AbortController()
  const { signal } = control
  setMaxListeners(0, signal)
  // 64 are on the wire, the rest waits.
  const sends = Array.from({ length: 200 }, () => server.send(Buffer.alloc(1 << 20), { signal, timeout: 60_000 }))
  await until('some are on the wire', () => server.stats().activeConnections > 10)
  const reason = new Error('enough')
  control.abort(reason)
  const endings = await within('the sends', Promise.allSettled(sends))
  const failed = endings.filter((ending) => ending.status === 'rejected').map((ending) => ending.reason as SystemError)
  t.true(failed.length > 100, String(failed.length))
  t.true(failed.every(({ name, code, cause }) => name === 'AbortError' && code === 'ABORT_ERR' && cause === reason))
  t.is(getEventListeners(signal, 'abort').length, 0)
  await t.throwsAsync(server.send('late', { signal }), { name: 'AbortError', code: 'ABORT_ERR' })
  await until('the server has let go of them', () => server.stats().activeConnections === 0)
  t.is(String(await roundTrip(port, 'hello')), 'hello')
  await server.stop()
})

test.serial('every send settles, whatever happens to the server', async (t) => {
  const before = now()
  for (let turn = 0; turn < size(20, 500); turn++) {
    const server = new EchoServer()
    server.start()
    const sends = Array.from({ length: 100 }, () => server.send(Buffer.alloc(50_000)))
    await server.stop({ timeout: turn % 5 })
    for (const ending of await within('the sends', Promise.allSettled(sends))) {
      if (ending.status === 'fulfilled') t.is(ending.value.bytes, 50_000)
      else t.true(['ECANCELED', 'ECONNRESET', 'EPIPE'].includes((ending.reason as SystemError).code))
    }
    await t.throwsAsync(server.send('late'), { code: 'ERR_SERVER_NOT_RUNNING' })
  }
  t.deepEqual(await leftBehind(before), NOTHING)
})
