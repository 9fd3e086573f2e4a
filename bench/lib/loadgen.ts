// The load generator, and what it reports.

import { availableParallelism } from 'node:os'

import { Child, type Command } from '../../support/children.ts'
import { at } from '../../support/paths.ts'
import { attempt } from '../../support/run.ts'

/** The core for the client; none where there is only one core. */
export const CLIENT_CORE = availableParallelism() > 1 ? 1 : undefined

const LOADGEN = at('target/release/echo-loadgen')

/** A clean run. Latencies in microseconds. */
export interface Report {
  messages: number
  per_second: number
  mib_per_second: number
  latency: { p50: number; p99: number; p999: number }
}

/** A kind of load. Apart from `mode` and `pinned` these are options of the load generator. */
export interface Load {
  mode: 'closed' | 'open' | 'churn' | 'crowd'
  connections: number
  /** Bytes per message */
  size: number
  /** Messages per second, of an open loop */
  rate?: number
  /** An end before the time is over */
  messages?: number
  /** Whether the client stays on its core: it does unless this is false */
  pinned?: boolean
}

/** What to ask a node. */
export interface Questions {
  request: 'send' | 'stats'
  /** Requests under way at once */
  window: number
}

/** Loads the server on a port. Undefined if a byte was wrong, a connection died or an answer never came. */
export function apply({ mode, pinned, ...options }: Load, port: number, duration: number): Promise<Report | undefined> {
  return generate([mode, ...flags({ port, duration, ...options })], duration, pinned)
}

/** Sends requests of one type to the node that this command starts. */
export function askNode(questions: Questions, node: Command, duration: number): Promise<Report | undefined> {
  return generate(['node', ...flags({ duration, ...questions }), '--', ...node], duration)
}

async function generate(args: Command, seconds: number, pinned = true): Promise<Report | undefined> {
  const pin = pinned && CLIENT_CORE !== undefined ? flags({ cpu: CLIENT_CORE }) : []
  const { code, stdout, stderr } = await attempt([LOADGEN, ...pin, ...args], { timeout: (seconds + 20) * 1000 })
  process.stderr.write(stderr)
  return code === 0 ? (JSON.parse(stdout) as Report) : undefined
}

/** Opens connections, does something while they are idle, and closes them. */
export async function holdIdle<T>(port: number, connections: number, whileOpen: () => Promise<T>): Promise<T> {
  const clients = new Child([LOADGEN, 'idle', ...flags({ port, connections, duration: 1 })])
  await clients.line(60_000)
  const result = await whileOpen()
  if ((await clients.end()) !== 0) throw new Error('an idle connection died')
  return result
}

function flags(options: object): string[] {
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
}
