// What polling before sleeping gains and costs: from one connection to many, with cores free and with none.
import { end, launch } from '../lib/children.ts'
import { duel, type Sample } from '../lib/duel.ts'
import { atMost, ratios, type Outcome } from '../lib/outcome.ts'
import { echoNode } from '../lib/servers.ts'
import { spread } from '../lib/statistics.ts'
import { duration, type Effort, type Step } from '../lib/step.ts'

const CONNECTIONS = [1, 4, 32, 256]

/** Somebody else's thread, for as long as it is let; no longer than a minute an arm. */
const BUSY = [process.execPath, '-e', 'const end = Date.now() + 600_000; while (Date.now() < end);']

/** What polling changes. */
interface Quantity {
  name: string
  unit: string
  of: (sample: Sample) => number
}

const QUANTITIES: Quantity[] = [
  { name: 'p50', unit: 'us', of: ({ latency }) => latency.p50 },
  { name: 'messages a second', unit: '/s', of: ({ per_second }) => per_second },
  { name: 'server CPU a message', unit: 'us', of: ({ cpu }) => cpu },
]

/** Polling on (the default) against off: what it gains, and what it wastes. */
export function pollingRows(effort: Effort): Step[] {
  const fewer = { ...effort, rounds: Math.max(2, Math.round(effort.rounds / 2)) }
  const gains = [false, true].flatMap((busy) => CONNECTIONS.map((connections) => gain(connections, busy, fewer)))
  return [...gains, waste(100, 2, fewer), waste(10_000, 15, fewer)]
}

/** What polling costs beyond what the same messages cost without it, evenly spaced. */
function waste(rate: number, percent: number, effort: Effort): Step {
  const what = `CPU that busyPoll adds at ${rate} messages a second`
  const sides = [echoNode(), echoNode({ busyPoll: 0 })].map((spec) => ({ spec }))
  return {
    name: what,
    seconds: duration(2, effort),
    async run() {
      const { samples, voided } = await duel(sides, { mode: 'open', connections: 1, size: 64, rate }, effort)
      const row = { what, against: 'off', unit: '% of a core', limit: atMost(percent), rounds: samples.length, voided }
      if (samples.length === 0) return { outcomes: [{ ...row, failed: 'every round was void' }] }
      const used = samples.map((round) => round.map(({ cpu, per_second }) => (cpu * per_second) / 1e4))
      const value = spread(used.map(([on, off]) => on! - off!))
      const measured = ['on', 'off'].map((name, side) => {
        return { name, unit: '%', spread: spread(used.map((round) => round[side]!)) }
      })
      return { outcomes: [{ ...row, value, measured }] }
    },
  }
}

/** With another busy thread nothing is pinned, or it would take one side's core alone. */
function gain(connections: number, busy: boolean, effort: Effort): Step {
  const name = `busyPoll, ${connections} connections, ${busy ? 'another busy thread' : 'cores free'}`
  const pinning = busy ? ('free' as const) : ('onceListening' as const)
  const sides = [echoNode(), echoNode({ busyPoll: 0 })].map((spec) => ({ spec, pinning }))
  return {
    name,
    seconds: duration(2, effort),
    async run() {
      const burner = busy ? launch(BUSY) : undefined
      try {
        const kind = { mode: 'closed', connections, size: 64, pinned: !busy } as const
        const { samples, voided } = await duel(sides, kind, effort)
        const outcomes = QUANTITIES.map((quantity) => line(name, quantity, samples, voided))
        return { outcomes }
      } finally {
        if (burner) await end(burner)
      }
    },
  }
}

function line(title: string, { name, unit, of }: Quantity, samples: Sample[][], voided: number): Outcome {
  const pairs = samples.map((round) => round.map(of))
  const outcome = { what: `${title}: ${name}`, against: 'off', unit: 'ratio', voided }
  return { ...outcome, ...ratios(pairs, ['on', 'off'], unit) }
}
