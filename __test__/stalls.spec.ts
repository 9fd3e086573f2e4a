import { setTimeout as sleep } from 'node:timers/promises'

import test from 'ava'

import { Child, killAll } from '../support/children.ts'
import { state } from '../support/proc.ts'
import { until } from '../support/wait.ts'
import { Client, parallel } from './support/clients.ts'
import { startScript } from './support/command.ts'

test.afterEach.always(killAll)

const TIMEOUT = 400
const CLIENTS = 50
/** When the stall ends, in milliseconds after the deadline. */
const OFFSETS = [-50, -5, 0, 5, 10, 15, 19, 25, 100]

/** Waits until the process has stopped, unless it has ended before. */
async function stopped({ process, pid }: Child): Promise<void> {
  await until('the process has stopped', () => process.exitCode !== null || state(pid) === 'T')
}

async function stall(child: Child, time: number): Promise<void> {
  await stopped(child)
  // A deadline is missed by time alone.
  await sleep(time)
  child.process.kill('SIGCONT')
}

for (const what of ['send', 'stop']) {
  test.serial(`${what}: a stall that ends near the deadline costs nobody anything`, async (t) => {
    await parallel(OFFSETS.length, 3, async (index) => {
      const child = startScript('stalled-child.ts', [what, String(TIMEOUT)])
      const port = Number(await child.line())
      await stopped(child)
      const clients = await Promise.all(Array.from({ length: CLIENTS }, () => Client.connect(port)))
      for (const client of clients) client.socket.write('in time')
      child.process.kill('SIGCONT')
      await stall(child, TIMEOUT + OFFSETS[index]!)
      const name = `${what} ${OFFSETS[index]}`
      t.deepEqual(await child.json(), [], name)
      await Promise.all(clients.map((client) => client.end()))
      t.deepEqual(new Set(clients.map(({ received }) => String(received))), new Set(['in time']), name)
      t.is(await child.end(), 0, child.stderr)
    })
  })
}

test.serial('two stalls in a row cost nobody anything', async (t) => {
  const child = startScript('stalled-child.ts', ['send', String(TIMEOUT)])
  await child.line()
  await stopped(child)
  child.process.kill('SIGCONT')
  for (let count = 0; count < 3; count++) {
    await stall(child, TIMEOUT)
    child.process.kill('SIGSTOP')
  }
  await stall(child, TIMEOUT)
  t.deepEqual(await child.json(), [])
  t.is(await child.end(), 0, child.stderr)
})
