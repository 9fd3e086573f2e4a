// The load generator, and what it reports.
import { once } from 'node:events'
import { finish, launchUntilReady } from './children.ts'
import { CLIENT_CORE } from './machine.ts'
import { LOADGEN } from './paths.ts'

/** A clean run. Latencies in microseconds. */
export interface Report {
  messages: number
  per_second: number
  mib_per_second: number
  latency: { mean: number; p50: number; p90: number; p99: number; p999: number; max: number }
}

/** What kind of load, and how much. */
export interface Load {
  mode: 'closed' | 'open' | 'pipelined' | 'bulk' | 'churn'
  connections: number
  seconds: number
  /** Bytes a message; bulk has its own */
  size?: number
  /** Messages a second, of an open loop */
  rate?: number
  /** An end before the time is over */
  messages?: number
  /** Whether the client stays on its core */
  pinned?: boolean
}

/** Loads the server on a port. Nothing if a byte was wrong, a connection died or an answer never came. */
export async function apply(load: Load, port: number): Promise<Report | undefined> {
  const args = [load.mode, '--port', String(port), '--connections', String(load.connections)]
  args.push('--duration', String(load.seconds))
  if (load.size !== undefined) args.push('--size', String(load.size))
  if (load.rate !== undefined) args.push('--rate', String(load.rate))
  if (load.messages !== undefined) args.push('--messages', String(load.messages))
  return generate(args, load.seconds, load.pinned ?? true)
}

/** Sends a node on this command requests of one type, many at once. */
export async function askNode(
  request: 'send' | 'stats' | 'echo',
  seconds: number,
  command: string[],
): Promise<Report | undefined> {
  return generate(['node', '--request', request, '--duration', String(seconds), '--', ...command], seconds, true)
}

async function generate(args: string[], seconds: number, pinned: boolean): Promise<Report | undefined> {
  const pin = pinned && CLIENT_CORE !== undefined ? ['--cpu', String(CLIENT_CORE)] : []
  const { code, stdout } = await finish([LOADGEN, '--json', ...pin, ...args], (seconds + 20) * 1000)
  return code === 0 ? (JSON.parse(stdout) as Report) : undefined
}

/** Opens connections, does something while they are idle, and closes them. */
export async function holdIdle<T>(port: number, connections: number, whileOpen: () => Promise<T>): Promise<T> {
  const command = [LOADGEN, '--json', 'idle', '--port', String(port), '--connections', String(connections)]
  const { child } = await launchUntilReady([...command, '--duration', '1'], 60_000)
  const gone = once(child, 'exit')
  const result = await whileOpen()
  const [code] = (await gone) as [number | null]
  if (code !== 0) throw new Error('an idle connection died')
  return result
}
