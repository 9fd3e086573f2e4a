// What may not get worse, measured so that a noisy machine makes no difference: counts, not times.

import { readFile } from 'node:fs/promises'

import { at } from '../support/paths.ts'
import { make } from './lib/build.ts'
import { instructionsPerMessage, showingWaits, syscallsPerMessage } from './lib/counts.ts'
import { serve } from './lib/servers.ts'

/** The engine on any free port, without a Node.js around it. It never polls: how often would depend on the machine. */
const ENGINE = [at('target/release/examples/serve'), '127.0.0.1:0', '0']

/** The median of five servers: how the client's answers fall between the calls is up to the machine. */
async function syscalls(): Promise<number> {
  const counts: number[] = []
  while (counts.length < 5) {
    await using server = await serve(
      showingWaits({ name: 'serve', needs: 'serve', command: ENGINE, pinning: 'fromStart' }),
    )
    counts.push(await syscallsPerMessage(server))
  }
  return counts.toSorted((one, other) => one - other)[2]!
}

/** Whether it is within the limit; says so either way. */
function check(what: string, value: number, limit: number): boolean {
  const good = value <= limit
  console.log(`${good ? 'pass' : 'FAIL'}: ${what}: ${value.toFixed(3)}, at most ${limit}`)
  return good
}

await make('cargo', 'build', '--release', '--quiet', '-p', 'echo-loadgen')
await make('cargo', 'build', '--release', '--quiet', '-p', 'echo-node', '--example', 'serve')
const limits = JSON.parse(await readFile(at('bench/limits.json'), 'utf8')) as Record<string, number>
const good = [
  check('system calls per message, 64 B, 50 connections', await syscalls(), limits['syscallsPerMessage']!),
  check(
    "instructions per message in the engine's own code, 64 B",
    await instructionsPerMessage(ENGINE),
    limits['instructionsPerMessage']!,
  ),
]
process.exitCode = good.every(Boolean) ? 0 : 1
