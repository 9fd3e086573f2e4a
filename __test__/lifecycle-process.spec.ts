import test from 'ava'

import { EchoServer } from 'echo-node'
import { Child, killAll } from '../support/children.ts'
import { startScript } from './support/command.ts'
import { Client, roundTrip } from './support/clients.ts'
import { freePort } from '../support/ports.ts'
import { descriptorTargets } from '../support/proc.ts'
import { size } from './support/size.ts'
import { until } from '../support/wait.ts'

test.afterEach.always(killAll)

const TIMES = size(5, 100)

/** From right after the start to amid the sends. */
function moment(turn: number): number {
  return turn === 0 ? 0 : 1 + Math.floor(Math.random() * 40)
}

const WAYS: [string, string, NodeJS.Signals | undefined, number | NodeJS.Signals][] = [
  ['process.exit()', 'exit', undefined, 7],
  ['an uncaught exception', 'throw', undefined, 1],
  ['SIGTERM', 'signal', 'SIGTERM', 'SIGTERM'],
  ['SIGKILL', 'signal', 'SIGKILL', 'SIGKILL'],
]

for (const [name, way, signal, expected] of WAYS) {
  test.serial(`${name} at any moment, and the next process has the same port at once`, async (t) => {
    const port = await freePort()
    for (let turn = 0; turn < TIMES; turn++) {
      const delay = moment(turn)
      const child = startScript('life-child.ts', [way, String(port), String(delay)])
      t.is(await child.line(), 'listening', child.stderr)
      // A connection that is open at the end leaves its port in TIME_WAIT, where it could be in the way.
      const client = await Client.connect(port).catch(() => undefined)
      client?.socket.write('hello')
      if (signal) {
        await child.line()
        child.process.kill(signal)
      }
      t.is(await child.end(), expected, `after ${delay} ms: ${child.stderr}`)
      await client?.end()
      client?.socket.destroy()
    }
  })
}

test.serial('a process that has stopped its server ends by itself', async (t) => {
  const child = startScript('idle-child.ts', ['stopped'])
  t.deepEqual(JSON.parse(await child.line()), [])
  t.is(await child.end(), 0, child.stderr)
})

test.serial('a process that unrefs its server ends by itself, after what is under way', async (t) => {
  const child = startScript('idle-child.ts', ['unref'])
  t.is(await child.line(), 'sent')
  t.is(await child.end(), 0, child.stderr)
})

test.serial('a process that listens lives, until its server is stopped', async (t) => {
  const child = startScript('idle-child.ts', ['listening'])
  const port = Number(await child.line())
  // Its event loop has nothing else left when it has said so.
  t.is(await child.line(), 'idle')
  t.is(String(await roundTrip(port, 'hello')), 'hello')
  t.is(child.process.exitCode, null)
})

test.serial('a listening server is not garbage, and one that does not listen is', async (t) => {
  const child = startScript('idle-child.ts', ['garbage'], ['--expose-gc'])
  const port = Number(await child.line())
  t.is(await child.line(), 'collected never, stopped')
  t.is(String(await roundTrip(port, 'hello')), 'hello')
  t.is(await child.kill(), 'SIGKILL')
})

test.serial('a child process inherits no descriptor', async (t) => {
  const others = new Set(descriptorTargets('self'))
  const server = new EchoServer()
  const port = server.start()
  const clients = await Promise.all(Array.from({ length: 20 }, () => Client.connect(port)))
  await until('all are accepted', () => server.stats().activeConnections === clients.length)
  const sends = Promise.all(Array.from({ length: 50 }, () => server.send(Buffer.alloc(1 << 20))))
  const ours = new Set(descriptorTargets('self').filter((target) => !others.has(target)))
  t.true(ours.size > 2 * clients.length)
  for (let turn = 0; turn < size(10, 100); turn++) {
    const child = new Child(['cat'])
    const inherited = descriptorTargets(child.pid)
    t.deepEqual(
      inherited.filter((target) => ours.has(target) || target.startsWith('anon_inode')),
      [],
    )
    child.process.stdin.end()
    t.is(await child.end(), 0)
  }
  await sends
  await Promise.all(clients.map((client) => client.close()))
  await server.stop()
})
