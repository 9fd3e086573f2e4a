// All servers side by side, for the plot: by message size, and by latency.

import { missing } from '../lib/build.ts'
import type { Load } from '../lib/loadgen.ts'
import { duel, type Sample } from '../lib/measure.ts'
import { HALF } from '../lib/options.ts'
import { spread, type Point, type Step } from '../lib/outcome.ts'
import { SIZES } from '../lib/plot.ts'
import { ALL } from '../lib/servers.ts'

/** Half of what the slowest server takes at most here. */
const RATE = 10_000

/** Where a quantity stands in which chart. */
type Quantity = Pick<Point, 'chart' | 'x' | 'unit'> & { of: (sample: Sample) => number }

function sweep(name: string, load: Load, quantities: Quantity[]): Step {
  return {
    name: `all servers, ${name}`,
    needs: [],
    async run() {
      const specs = ALL.filter(({ needs }) => !missing.has(needs))
      const { samples } = await duel(specs, load, HALF)
      const points = specs.flatMap(({ name: server }, index) =>
        quantities.map(({ of, ...place }): Point => {
          return { ...place, server, y: spread(samples.map((round) => of(round[index]!))) }
        }),
      )
      return { points: samples.length > 0 ? points : [] }
    },
  }
}

/** Large messages on few connections: with many, memory and caches would be measured. */
function bySize(size: number): Step {
  return sweep(`${size} B`, { mode: 'closed', connections: size > 16_384 ? 4 : 50, size }, [
    { chart: 'server CPU per message', x: size, unit: 'us', of: ({ cpu }) => cpu },
    { chart: 'throughput', x: size, unit: 'MiB/s', of: ({ mib_per_second }) => mib_per_second },
  ])
}

function byLatency(name: string, chart: string, load: Load): Step {
  return sweep(name, load, [
    { chart, x: 'p50', unit: 'us', of: ({ latency }) => latency.p50 },
    { chart, x: 'p99', unit: 'us', of: ({ latency }) => latency.p99 },
    { chart, x: 'p99.9', unit: 'us', of: ({ latency }) => latency.p999 },
  ])
}

const ONE: Load = { mode: 'closed', connections: 1, size: 64 }
const OPEN: Load = { mode: 'open', connections: 50, size: 64, rate: RATE }

export const sweeps: Step[] = [
  ...SIZES.map(bySize),
  byLatency('1 connection, closed loop', 'closed loop, 1 connection', ONE),
  byLatency(`${RATE} messages per second, open loop`, `open loop, 50 connections, ${RATE}/s`, OPEN),
]
