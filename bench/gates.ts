// What may not get worse, measured so that a noisy machine makes no difference: counts, not times.
import { readFile } from 'node:fs/promises'
import { instructionsPerMessage } from './lib/callgrind.ts'
import { make } from './lib/build.ts'
import { LIMITS, SERVE } from './lib/paths.ts'
import { serve } from './lib/servers.ts'
import { syscallsPerMessage } from './lib/strace.ts'

/** The stored limits. */
interface Limits {
  syscallsPerMessage: number
  instructionsPerMessage: number
}

/** Never polling: how often it would depends on how quick the machine is. */
const COMMAND = [SERVE, '127.0.0.1:0', '0']

async function syscalls(): Promise<number> {
  const server = await serve({ name: 'serve', needs: 'serve', command: COMMAND }, 'free')
  try {
    return await syscallsPerMessage(server)
  } finally {
    await server.close()
  }
}

/** Whether it is within the limit; says so either way. */
function check(what: string, value: number, limit: number): boolean {
  const good = value <= limit
  console.log(`${good ? 'pass' : 'FAIL'}: ${what}: ${value.toFixed(3)}, at most ${limit}`)
  return good
}

await make('cargo', 'build', '--release', '--quiet', '-p', 'echo-loadgen')
await make('cargo', 'build', '--release', '--quiet', '-p', 'echo-node', '--example', 'serve')
const limits = JSON.parse(await readFile(LIMITS, 'utf8')) as Limits
const results = [
  check('system calls a message, 64 B, 50 connections', await syscalls(), limits.syscallsPerMessage),
  check(
    "instructions a message in the engine's own code, 64 B",
    await instructionsPerMessage(COMMAND),
    limits.instructionsPerMessage,
  ),
]
process.exit(results.every(Boolean) ? 0 : 1)
