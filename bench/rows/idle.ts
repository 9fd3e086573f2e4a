// What a server costs while nothing happens.
import { setTimeout as sleep } from 'node:timers/promises'
import { apply, holdIdle } from '../lib/loadgen.ts'
import { atMost, type Limit } from '../lib/outcome.ts'
import { anonymousBytes, cpuSeconds } from '../lib/proc.ts'
import { ALL, echoNode, serve, type Spec } from '../lib/servers.ts'
import { spread } from '../lib/statistics.ts'
import { reasonMissing, type Effort, type Missing, type Step } from '../lib/step.ts'

/** Go needs three descriptors a connection, and there may be 20,000 in all. */
const CONNECTIONS = 5_000

/** After the connections are open, for what the server still does about them. */
const SETTLE = 300

/** Memory an idle connection, of every server, and CPU without traffic. */
export function idleRows(effort: Effort, missing: Missing): Step[] {
  return [...ALL.map((spec) => memory(spec, effort, missing)), cpu(effort)]
}

function memory(spec: Spec, { quick }: Effort, missing: Missing): Step {
  const what = `heap an idle connection, ${spec.name}`
  const rounds = quick ? 1 : 3
  const limit: { limit?: Limit } = spec.needs === 'echo-node' ? { limit: atMost(64) } : {}
  return {
    name: what,
    seconds: rounds * 2,
    async run() {
      const line = { what, unit: 'B', ...limit }
      const skipped = reasonMissing(missing, spec)
      if (skipped !== undefined) return { outcomes: [{ ...line, skipped }] }
      const values: number[] = []
      for (let round = 0; round < rounds; round++) values.push(await bytesPerConnection(spec))
      const value = spread(values)
      const point = { chart: 'heap an idle connection', server: spec.name, x: spec.name, unit: 'B', y: value }
      return { outcomes: [{ ...line, value, rounds }], points: [point] }
    },
  }
}

/** A first load lets the server allocate what it needs in any case. */
async function bytesPerConnection(spec: Spec): Promise<number> {
  const server = await serve(spec)
  try {
    await apply({ mode: 'closed', connections: 100, size: 64, seconds: 0.3 }, server.port)
    await sleep(SETTLE)
    const before = anonymousBytes(server.pid)
    return await holdIdle(server.port, CONNECTIONS, async () => {
      await sleep(SETTLE)
      return (anonymousBytes(server.pid) - before) / CONNECTIONS
    })
  } finally {
    await server.close()
  }
}

function cpu({ quick }: Effort): Step {
  const seconds = quick ? 3 : 20
  return {
    name: 'CPU of an idle server',
    seconds: seconds + 2,
    async run() {
      const server = await serve(echoNode())
      try {
        await apply({ mode: 'closed', connections: 50, size: 64, seconds: 0.5 }, server.port)
        // The garbage of starting up is collected about now.
        await sleep(1000)
        const before = cpuSeconds(server.pid)
        await sleep(seconds * 1000)
        const percent = ((cpuSeconds(server.pid) - before) / seconds) * 100
        const value = spread([percent])
        return { outcomes: [{ what: "idle server's CPU", unit: '% of a core', limit: atMost(0.1), value, rounds: 1 }] }
      } finally {
        await server.close()
      }
    },
  }
}
