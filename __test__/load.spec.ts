import test from 'ava'

import { Child, killAll } from '../support/children.ts'
import { startScript } from './support/command.ts'
import { parallel, Client } from './support/clients.ts'
import type { Report } from './support/load-child.ts'
import { tcpMemory } from '../support/proc.ts'
import type { Figures } from './support/server-child.ts'
import { SOAK, size } from './support/size.ts'
import { until } from '../support/wait.ts'

test.afterEach.always(killAll)

const MINUTES = 300_000
const MIB = 2 ** 20

function mebi(bytes: number): string {
  return `${(bytes / MIB).toFixed(1)} MiB`
}

async function server(options = {}): Promise<{ server: Child; port: number }> {
  const child = startScript('server-child.ts', [JSON.stringify(options)], ['--expose-gc'])
  return { server: child, port: Number(await child.line()) }
}

function clients(load: string, port: number, count: number): Child {
  return startScript('load-child.ts', [load, String(port), String(count)])
}

/** Waits until the server has no connection, and returns its figures. */
function quiet(child: Child): Promise<Figures> {
  return until('the server is quiet', async () => {
    const figures = await child.ask<Figures>('figures')
    return figures.activeConnections === 0 ? figures : undefined
  })
}

/** Runs a load to its end, once to warm up and once to measure. */
async function growth(load: string, count: number): Promise<{ grown: Figures; total: number }> {
  const { server: child, port } = await server()
  const warmUp = clients(load, port, Math.ceil(count / 5))
  await warmUp.json(MINUTES)
  const before = await quiet(child)
  const measured = clients(load, port, count)
  const { served } = await measured.json<Report>(MINUTES)
  const after = await quiet(child)
  const [memory, descriptors] = [after.memory - before.memory, after.descriptors - before.descriptors]
  return { grown: { ...after, memory, descriptors }, total: served }
}

const CROWD = size(2000, 10_000)

test.serial(`${CROWD} connections at once are all served`, async (t) => {
  const { server: child, port } = await server()
  const before = await child.ask<Figures>('figures')
  const crowd = clients('crowd', port, CROWD)
  t.deepEqual(await crowd.json(MINUTES), { served: CROWD })
  const during = await child.ask<Figures>('figures')
  t.is(during.activeConnections, CROWD)
  t.is(during.descriptors, before.descriptors + CROWD)
  t.deepEqual(await crowd.ask('again', MINUTES), { served: CROWD })
  t.log(`${during.activeConnections} connections at once, each of them served twice`)
  crowd.process.stdin.write('close\n')
  t.is((await quiet(child)).descriptors, before.descriptors)
  crowd.process.stdin.end()
  t.is(await crowd.end(), 0)
  t.is(child.stderr, '')
})

const CYCLES = size(5000, 100_000)

test.serial(`${CYCLES} times connect, echo, close, and the server is as it was`, async (t) => {
  const { grown, total } = await growth('cycle', CYCLES)
  t.log(`descriptors grew by ${grown.descriptors}, memory by ${mebi(grown.memory)}`)
  t.is(total, CYCLES)
  t.is(grown.descriptors, 0)
  t.true(grown.memory < 4 * MIB, String(grown.memory))
})

const RESETS = size(2000, 20_000)

test.serial(`${RESETS} times connect, reset, and the server is as it was`, async (t) => {
  const { grown } = await growth('reset', RESETS)
  t.log(`descriptors grew by ${grown.descriptors}, memory by ${mebi(grown.memory)}`)
  t.is(grown.descriptors, 0)
  t.true(grown.memory < 4 * MIB, String(grown.memory))
})

const READERS = size(300, 1000)

test.serial(`${READERS} clients that never read cost the server less than 100 MiB`, async (t) => {
  const { server: child, port } = await server()
  const before = await child.ask<Figures>('figures')
  const stalled = new Child([
    'cargo',
    'run',
    '--quiet',
    '--example',
    'never_read',
    '--',
    `127.0.0.1:${port}`,
    String(READERS),
  ])
  const { offered } = await stalled.json<{ offered: number }>(MINUTES)
  const during = await child.ask<Figures>('figures')
  const [grown, kernel] = [during.memory - before.memory, tcpMemory()]
  t.log(
    `${mebi(offered)} taken from ${READERS} clients; the server grew by ${mebi(grown)}, sockets hold ${mebi(kernel)}`,
  )
  t.true(grown < 100 * MIB, String(grown))
  t.true(offered > READERS * 100_000, 'they are all stalled, not waiting')
  const other = await Client.connect(port)
  t.true(await other.echo('served meanwhile'))
  await other.close()
  stalled.process.stdin.end()
  const { returned } = await stalled.json<{ returned: number }>(MINUTES)
  t.is(returned, offered, 'everything comes back as soon as they read')
  t.is((await quiet(child)).descriptors, before.descriptors)
})

/** Median round trip in milliseconds of many clients that ping at leisure. */
async function medianPing(pingers: Client[], rounds: number): Promise<number> {
  const times: number[] = []
  await Promise.all(
    pingers.map((client) =>
      parallel(rounds, 1, async () => {
        const start = performance.now()
        await client.ping()
        times.push(performance.now() - start)
      }),
    ),
  )
  return median(times)
}

/** The middle one of the figures. */
function median(figures: number[]): number {
  return figures.toSorted((a, b) => a - b)[figures.length >> 1]!
}

/** The median round trip of the pingers while a client floods the server at this port. */
async function beside(port: number, pingers: Client[]): Promise<number> {
  const flood = clients('flood', port, 1)
  await flood.line()
  const time = await medianPing(pingers, 100)
  await flood.kill()
  return time
}

const ROUNDS = size(3, 10)

// A flood takes a core and a half besides what it does to the server. So it is compared with one to another server, which
// takes the same; on a machine that has nothing else to do, which only the soak asks for, also with none.
test.serial('one client that floods slows 100 others down by at most 3', async (t) => {
  const [{ server: child, port }, { server: elsewhere, port: otherPort }] = [await server(), await server()]
  const pingers = await Promise.all(Array.from({ length: 100 }, () => Client.connect(port)))
  await medianPing(pingers, 20)
  const [toNone, toOther]: [number[], number[]] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    const alone = await medianPing(pingers, 100)
    const control = await beside(otherPort, pingers)
    const flooded = await beside(port, pingers)
    t.log(
      `${[alone, control, flooded].map((time) => time.toFixed(2)).join(', ')} ms: no flood, one elsewhere, one here`,
    )
    toNone.push(flooded / alone)
    toOther.push(flooded / control)
  }
  t.log(`${median(toNone).toFixed(2)} times as long as without, ${median(toOther).toFixed(2)} as with one elsewhere`)
  t.true(median(toOther) <= 3, toOther.join(' '))
  if (SOAK) t.true(median(toNone) <= 3, toNone.join(' '))
  await Promise.all(pingers.map((client) => client.close()))
  t.is((await quiet(child)).activeConnections, 0)
  await elsewhere.kill()
})
