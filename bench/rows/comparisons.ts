// This package's server against another one under the same load: what a message costs, how long an answer takes, and what
// polling before sleeping gains and costs.

import { at } from '../../support/paths.ts'
import { comparison, type Quantity } from '../lib/comparison.ts'
import type { Load } from '../lib/loadgen.ts'
import { HALF } from '../lib/options.ts'
import { atLeast, atMost, type Limit, type Step } from '../lib/outcome.ts'
import { BARE, GO, LIBUV, NODE_NET, TOKIO, echoNode, type Pinning, type Spec } from '../lib/servers.ts'

const CPU: Quantity = { name: 'server CPU per message', unit: 'us', of: ({ cpu }) => cpu }
const P50: Quantity = { name: 'p50', unit: 'us', of: ({ latency }) => latency.p50 }
const P99: Quantity = { name: 'p99', unit: 'us', of: ({ latency }) => latency.p99 }
const RATE: Quantity = { name: 'messages per second', unit: '/s', of: ({ per_second }) => per_second }
const USE: Quantity = { name: 'CPU', unit: '% of a core', of: ({ cpu, per_second }) => (cpu * per_second) / 1e4 }

const MIB = 2 ** 20

const SMALL: Load = { mode: 'closed', connections: 50, size: 64 }
const CHURN: Load = { mode: 'churn', connections: 4, size: 64 }

/** What a MiB costs, however many make a message. */
const perMiB = (size: number): Quantity => ({
  name: 'server CPU per MiB',
  unit: 'us',
  of: ({ cpu }) => (cpu * MIB) / size,
})
const THROUGHPUT: Quantity = { name: 'throughput', unit: 'MiB/s', of: ({ mib_per_second }) => mib_per_second }

/** The server's CPU against that of each of these, with the most that the ratio may be. */
function cpuRows(what: string, load: Load, limits: [Spec, number][]): Step[] {
  return limits.map(([spec, most]) => {
    return comparison({ what, load, sides: [echoNode(), spec], quantities: [{ ...CPU, limit: atMost(most) }] })
  })
}

/** Large messages: size, and the most that a MiB may cost against Go, which moves them by splice(2). */
const BULK: [name: string, size: number, most?: number][] = [
  ['256 KiB', MIB / 4, 1.3],
  ['1 MiB', MIB, 1.05],
  ['4 MiB', 4 * MIB, 1.2],
  ['16 MiB', 16 * MIB],
]

function bulk(connections: number, against: Spec, [name, size, most]: (typeof BULK)[number]): Step {
  const limit = against === BARE ? atMost(1.05) : most && atMost(most)
  return comparison({
    what: `${name} messages, ${connections} ${connections === 1 ? 'connection' : 'connections'}`,
    load: { mode: 'closed', connections, size },
    sides: [echoNode(), against],
    quantities: [{ ...perMiB(size), limit: limit || undefined }, THROUGHPUT],
    rounds: HALF,
  })
}

/** What a busy JavaScript thread does to answers. Pinned, it would share the I/O thread's core: so nothing is. */
function blocked(idle: Spec, limit?: Limit): Step {
  const [program, ...args] = idle.command
  const command = [program!, '--import', at('bench/dist/peers/block.js'), ...args]
  return comparison({
    what: `p99 with JavaScript blocked 50 ms of 60, ${idle.name}`,
    sides: [
      { ...idle, command, name: 'blocked' },
      { ...idle, name: 'itself idle' },
    ],
    // Well below what any of the servers can do with the JavaScript thread idle, and often enough for a p99.
    load: { mode: 'open', connections: 4, size: 64, rate: 1000, pinned: false },
    quantities: [{ ...P99, limit }],
  })
}

/** A blocking thread per connection, and nobody is pinned: throughput and CPU, with the least and the most that the ratios may be. */
function crowd(connections: number, against: Spec, least?: number, most?: number): Step {
  return comparison({
    what: `${connections} blocking clients, 512 B`,
    load: { mode: 'crowd', connections, size: 512, pinned: false },
    sides: [echoNode({}, 'free'), { ...against, pinning: 'free' }],
    quantities: [
      { ...RATE, limit: least === undefined ? undefined : atLeast(least) },
      { ...CPU, limit: most === undefined ? undefined : atMost(most) },
    ],
    rounds: HALF,
  })
}

/** What it costs that somebody listens to the events of connections. */
function withEvents(what: string, load: Load, most: number): Step {
  return comparison({
    what: `server CPU per ${what} with events`,
    sides: [echoNode({ events: 1 }), { ...echoNode(), name: 'without' }],
    load,
    quantities: [{ ...CPU, limit: atMost(most) }],
  })
}

/** This package's server polling, as by default, and not. */
function polling(pinning: Pinning): [Spec, Spec] {
  return [
    { ...echoNode({}, pinning), name: 'on' },
    { ...echoNode({ busyPoll: 0 }, pinning), name: 'off' },
  ]
}

/** With another busy thread nothing is pinned, or it would take one side's core alone. */
function gain(connections: number, busy: boolean): Step {
  return comparison({
    what: `busyPoll, ${connections} connections, ${busy ? 'another busy thread' : 'cores free'}`,
    sides: polling(busy ? 'free' : 'onceListening'),
    load: { mode: 'closed', connections, size: 64, pinned: !busy },
    quantities: [P50, RATE, CPU],
    rounds: HALF,
    beside: busy ? [process.execPath, '-e', 'for (;;);'] : undefined,
  })
}

/** What polling costs beyond what the same messages cost without it, evenly spaced. */
function waste(rate: number, most: number): Step {
  return comparison({
    what: `CPU that busyPoll adds at ${rate} messages per second`,
    sides: polling('onceListening'),
    load: { mode: 'open', connections: 1, size: 64, rate },
    quantities: [{ ...USE, limit: atMost(most) }],
    difference: true,
    rounds: HALF,
  })
}

/** The lines with limits. */
export const comparisons: Step[] = [
  ...cpuRows('server CPU per message, 64 B, 50 connections', SMALL, [
    [BARE, 1.05],
    [NODE_NET, 0.7],
    [TOKIO, 1.05],
    [LIBUV, 0.62],
    [GO, 0.82],
  ]),
  ...cpuRows('server CPU per message, 64 B, 8000 connections', { ...SMALL, connections: 8000 }, [[BARE, 1.05]]),
  ...cpuRows('server CPU per MiB, 1 MiB messages', { mode: 'closed', connections: 1, size: MIB }, [[NODE_NET, 0.4]]),
  ...[1, 8].flatMap((connections) => [BARE, GO].flatMap((peer) => BULK.map((size) => bulk(connections, peer, size)))),
  crowd(50, GO, 0.97, 1.05),
  crowd(1000, GO, 1, 1),
  ...[50, 1000].map((connections) => crowd(connections, NODE_NET, 1.2)),
  ...[50, 1000].flatMap((connections) => [BARE, TOKIO, LIBUV].map((peer) => crowd(connections, peer))),
  ...cpuRows('server CPU per connect-echo-close cycle', CHURN, [[NODE_NET, 0.6]]),
  withEvents('message', SMALL, 1.02),
  withEvents('connect-echo-close cycle', CHURN, 1.25),
  comparison({
    what: 'p50 round trip, 1 connection, 64 B, closed loop',
    sides: [echoNode(), NODE_NET],
    load: { ...SMALL, connections: 1 },
    quantities: [{ ...P50, limit: atMost(0.4) }],
  }),
  blocked(echoNode({}, 'free'), atMost(2)),
  blocked({ ...NODE_NET, pinning: 'free' }),
]

export const pollingRows: Step[] = [
  ...[false, true].flatMap((busy) => [1, 4, 32, 256].map((connections) => gain(connections, busy))),
  waste(100, 2),
  waste(10_000, 15),
]
