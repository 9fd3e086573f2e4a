// What a run consists of.
import { cpuRows } from '../rows/cpu.ts'
import { idleRows } from '../rows/idle.ts'
import { latencyRows } from '../rows/latency.ts'
import { nodeRows } from '../rows/node.ts'
import { pollingRows } from '../rows/polling.ts'
import { sweeps } from '../rows/sweeps.ts'
import { syscallRows } from '../rows/syscalls.ts'
import type { Effort, Missing, Step } from './step.ts'

/** Enough to trust the medians. */
export const FULL: Effort = { rounds: 10, seconds: 2, warmUp: 1, quick: false }

/** Two minutes in all: enough to see what is broken, not to compare. */
export const QUICK: Effort = { rounds: 2, seconds: 0.3, warmUp: 0.2, quick: true }

/** All steps, the lines with limits first. */
export function plan(effort: Effort, missing: Missing): Step[] {
  return [
    ...syscallRows(effort, missing),
    ...cpuRows(effort, missing),
    ...latencyRows(effort, missing),
    ...idleRows(effort, missing),
    ...nodeRows(effort, missing),
    ...pollingRows(effort),
    ...sweeps(effort, missing),
  ]
}
