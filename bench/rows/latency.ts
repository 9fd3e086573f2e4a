// How long an answer takes.
import { atMost } from '../lib/outcome.ts'
import { echoNode, nodeNet } from '../lib/servers.ts'
import type { Effort, Missing, Step } from '../lib/step.ts'
import { comparison, type Comparison } from './comparison.ts'

/** Well below what any of the servers can do with the JavaScript thread idle, and often enough for a p99. */
const STEADY = { mode: 'open', connections: 4, size: 64, rate: 1000, pinned: false } as const

/** The round trip of one connection, and what a busy JavaScript thread does to it. */
export function latencyRows(effort: Effort, missing: Missing): Step[] {
  return [
    comparison(
      {
        what: 'p50 round trip, 1 connection, 64 B, closed loop',
        unit: 'us',
        quantity: ({ latency }) => latency.p50,
        ours: { spec: echoNode() },
        theirs: { spec: nodeNet() },
        kind: { mode: 'closed', connections: 1, size: 64 },
        limit: atMost(0.4),
      },
      effort,
      missing,
    ),
    comparison({ ...blocked(echoNode({}, '--block'), echoNode()), limit: atMost(2) }, effort, missing),
    comparison(blocked(nodeNet('--block'), nodeNet()), effort, missing),
  ]
}

/** Pinned, the blocked thread would share the I/O thread's core: so nothing is. */
function blocked(busy: ReturnType<typeof nodeNet>, idle: ReturnType<typeof nodeNet>): Comparison {
  return {
    what: `p99 with JavaScript blocked 50 ms of 60, ${idle.name}`,
    unit: 'us',
    quantity: ({ latency }) => latency.p99,
    ours: { spec: { ...busy, name: 'blocked' }, pinning: 'free' },
    theirs: { spec: { ...idle, name: 'itself idle' }, pinning: 'free' },
    kind: STEADY,
  }
}
