// The steps of a run.
import type { Outcome, Point } from './outcome.ts'
import type { Spec } from './servers.ts'

/** How much to measure. */
export interface Effort {
  rounds: number
  /** Of one sample */
  seconds: number
  /** Of each server, before its first sample */
  warmUp: number
  /** Whether results are wanted soon rather than sure */
  quick: boolean
}

/** What a step gives. */
export interface Findings {
  outcomes?: Outcome[]
  points?: Point[]
}

/** One step, which takes about so many seconds. */
export interface Step {
  name: string
  seconds: number
  run(): Promise<Findings>
}

/** What could not be built, and why. */
export type Missing = ReadonlyMap<string, string>

/** Why a server cannot be measured, if so. */
export function reasonMissing(missing: Missing, ...specs: Spec[]): string | undefined {
  for (const { needs } of specs) {
    const reason = missing.get(needs)
    if (reason !== undefined) return reason
  }
  return undefined
}

/** Starting a server takes about so long. */
const START = 0.2

/** Starting the load generator, reading counters. */
const OVERHEAD = 0.05

/** How long so many servers take in turn. */
export function duration(servers: number, { rounds, seconds, warmUp }: Effort): number {
  return servers * (START + warmUp + OVERHEAD + rounds * (seconds + OVERHEAD))
}
