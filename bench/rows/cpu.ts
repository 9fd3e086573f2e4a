// What a message, a MiB or a connection costs the server.
import { atMost } from '../lib/outcome.ts'
import { BARE, GO, LIBUV, TOKIO, echoNode, nodeNet } from '../lib/servers.ts'
import type { Effort, Missing, Step } from '../lib/step.ts'
import { comparison } from './comparison.ts'

const MESSAGE = { mode: 'closed', connections: 50, size: 64 } as const
const BULK = { mode: 'bulk', connections: 1 } as const
const CHURN = { mode: 'churn', connections: 4, size: 64 } as const

/** CPU a message, a MiB, a cycle. */
export function cpuRows(effort: Effort, missing: Missing): Step[] {
  const row = (what: string, unit: string, kind: typeof MESSAGE | typeof BULK | typeof CHURN) => {
    return (spec: typeof BARE, limit: number): Step =>
      comparison(
        {
          what,
          unit,
          kind,
          quantity: ({ cpu }) => cpu,
          ours: { spec: echoNode() },
          theirs: { spec },
          limit: atMost(limit),
        },
        effort,
        missing,
      )
  }
  const message = row('server CPU a message, 64 B, 50 connections', 'us', MESSAGE)
  const mib = row('server CPU a MiB, 1 MiB messages', 'us', BULK)
  const cycle = row('server CPU a connect-echo-close cycle', 'us', CHURN)
  return [
    message(BARE, 1.05),
    message(nodeNet(), 0.7),
    message(TOKIO, 0.9),
    message(LIBUV, 0.6),
    message(GO, 0.8),
    mib(nodeNet(), 0.5),
    mib(BARE, 1.05),
    cycle(nodeNet(), 0.6),
  ]
}
