// What a server takes by itself: system calls per message, and memory and CPU while nothing happens.

import { setTimeout as sleep } from 'node:timers/promises'

import { anonymousBytes, processCpuTime } from '../../support/proc.ts'
import { showingWaits, syscallsPerMessage } from '../lib/counts.ts'
import { apply, holdIdle } from '../lib/loadgen.ts'
import { effort } from '../lib/options.ts'
import { atMost, spread, type Limit, type Step } from '../lib/outcome.ts'
import { ALL, echoNode, serve, type Server, type Spec } from '../lib/servers.ts'

/** Go needs three descriptors per connection, and there may be 20,000 in all. */
const CONNECTIONS = 5_000

/** What the server still does about new connections takes less than this. */
const SETTLE = 300

/** A figure of one server, a new one each round. */
interface Figure {
  what: string
  spec: Spec
  unit: string
  limit?: Limit | undefined
  measure: (server: Server) => Promise<number>
  /** What hardly differs between rounds needs few */
  rounds?: number
  /** Where the plot shows it */
  chart?: string
}

function figure({ what, spec, unit, limit, measure, rounds = Math.min(3, effort.rounds), chart }: Figure): Step {
  return {
    name: what,
    needs: [spec.needs],
    async run() {
      const values: number[] = []
      while (values.length < rounds) {
        await using server = await serve(spec)
        values.push(await measure(server))
      }
      const value = spread(values)
      const points = chart === undefined ? [] : [{ chart, server: spec.name, x: spec.name, unit, y: value }]
      return { outcomes: [{ what, unit, limit, value, rounds }], points }
    },
  }
}

/** A first load lets the server allocate what it needs in any case. */
async function bytesPerConnection({ child, port }: Server): Promise<number> {
  await apply({ mode: 'closed', connections: 100, size: 64 }, port, 0.3)
  await sleep(SETTLE)
  const before = anonymousBytes(child.pid)
  return await holdIdle(port, CONNECTIONS, async () => {
    await sleep(SETTLE)
    return (anonymousBytes(child.pid) - before) / CONNECTIONS
  })
}

async function percentOfCore({ child, port }: Server): Promise<number> {
  await apply({ mode: 'closed', connections: 50, size: 64 }, port, 0.5)
  // The garbage of starting up is collected about now.
  await sleep(1000)
  const [before, window] = [processCpuTime(child.pid), effort.seconds * 10_000]
  await sleep(window)
  return ((processCpuTime(child.pid) - before) / window) * 100
}

const HEAP = { unit: 'B', measure: bytesPerConnection }

export const syscallRow = figure({
  what: 'syscalls per message, 64 B, 50 connections',
  spec: { ...showingWaits(echoNode()), needs: 'strace' },
  unit: 'calls',
  limit: atMost(2.05),
  measure: syscallsPerMessage,
})

export const idleRows: Step[] = [
  ...ALL.map((spec, index) => {
    const limit = index === 0 ? atMost(64) : undefined
    const chart = 'heap per idle connection'
    return figure({ ...HEAP, what: `${chart}, ${spec.name}`, spec, limit, chart })
  }),
  figure({ ...HEAP, what: 'heap per idle connection, 8 threads', spec: echoNode({ threads: 8 }), limit: atMost(64) }),
  figure({
    what: "idle server's CPU",
    spec: echoNode({}, 'free'),
    unit: '% of a core',
    limit: atMost(0.1),
    measure: percentOfCore,
    rounds: 1,
  }),
]
