// Where the benchmark runs.
import { arch, availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os'

/** The core for servers, and the one for the client; none where there is only one core. */
export const SERVER_CORE = availableParallelism() > 1 ? 0 : undefined
export const CLIENT_CORE = availableParallelism() > 1 ? 1 : undefined

/** What a reader must know of the machine. */
export function machine(): Record<string, string | number> {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
  }
}

/** The load of the last minute, to two places. */
export function load(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100
}
