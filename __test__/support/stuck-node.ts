// A node that cannot end by itself, because nobody reads its replies.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'

import { EXECUTABLE } from '../../support/paths.ts'
import { INIT, request } from './command.ts'
import { until } from '../../support/wait.ts'

/** Requests whose replies are more than pipes and streams hold. */
export const MANY = 20_000

/** A node in the middle of a large reply; started by another program, if there is to be one. */
export async function stuckNode(through: string[] = []): Promise<ChildProcessWithoutNullStreams> {
  const [file, ...args] = [...through, process.execPath, EXECUTABLE]
  const node = spawn(file, args, { stdio: 'pipe', timeout: 60_000, killSignal: 'SIGKILL' })
  node.stdin.on('error', () => {})
  const lines = Array.from({ length: MANY }, (_, index) => request('tcp_echo_stats', index))
  const large = request('echo', MANY, { echo: 'x'.repeat(1_000_000) })
  node.stdin.write(`${[INIT, large, ...lines].join('\n')}\n`)
  await once(node.stdout, 'readable')
  await until('the reply has begun', () => node.stdout.readableLength > 10_000)
  return node
}
