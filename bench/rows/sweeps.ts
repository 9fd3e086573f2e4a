// All servers side by side, for the plot: by message size, and by latency.
import { duel, type Kind, type Sample } from '../lib/duel.ts'
import type { Point } from '../lib/outcome.ts'
import { ALL, type Spec } from '../lib/servers.ts'
import { spread } from '../lib/statistics.ts'
import { duration, reasonMissing, type Effort, type Missing, type Step } from '../lib/step.ts'

const SIZES = [64, 1024, 16_384, 262_144, 1_048_576]

/** Half of what the slowest server takes at most here. */
const RATE = 10_000

/** A quantity of a chart. */
interface Quantity {
  chart: string
  x: string | number
  unit: string
  of: (sample: Sample) => number
}

/** Every server by size and by latency. */
export function sweeps(effort: Effort, missing: Missing): Step[] {
  const present = ALL.filter((spec) => reasonMissing(missing, spec) === undefined)
  const fewer = { ...effort, rounds: Math.max(2, Math.round(effort.rounds / 2)) }
  return [
    ...SIZES.map((size) => sweep(`all servers, ${size} B`, present, kindOf(size), bySize(size), fewer)),
    sweep(
      'all servers, 1 connection, closed loop',
      present,
      { mode: 'closed', connections: 1, size: 64 },
      latency('closed loop, 1 connection'),
      fewer,
    ),
    sweep(
      `all servers, ${RATE} messages a second, open loop`,
      present,
      { mode: 'open', connections: 50, size: 64, rate: RATE },
      latency(`open loop, 50 connections, ${RATE}/s`),
      fewer,
    ),
  ]
}

/** Large messages on few connections: with many, memory and caches would be measured. */
function kindOf(size: number): Kind {
  return { mode: 'closed', connections: size > 16_384 ? 4 : 50, size }
}

function latency(chart: string): Quantity[] {
  return [
    { chart, x: 'p50', unit: 'us', of: (sample) => sample.latency.p50 },
    { chart, x: 'p99', unit: 'us', of: (sample) => sample.latency.p99 },
    { chart, x: 'p99.9', unit: 'us', of: (sample) => sample.latency.p999 },
  ]
}

function bySize(size: number): Quantity[] {
  return [
    { chart: 'server CPU a message', x: size, unit: 'us', of: ({ cpu }) => cpu },
    {
      chart: 'throughput',
      x: size,
      unit: 'MiB/s',
      of: (sample) => sample.mib_per_second,
    },
  ]
}

function sweep(name: string, specs: Spec[], kind: Kind, quantities: Quantity[], effort: Effort): Step {
  return {
    name,
    seconds: duration(specs.length, effort),
    async run() {
      const sides = specs.map((spec) => ({ spec }))
      const { samples } = await duel(sides, kind, effort)
      if (samples.length === 0) return {}
      const points = specs.flatMap(({ name: server }, index) =>
        quantities.map(({ chart, x, unit, of }): Point => {
          return { chart, server, x, unit, y: spread(samples.map((round) => of(round[index]!))) }
        }),
      )
      return { points }
    },
  }
}
