// Several servers under the same load, in turn.
import { interleave, type Rounds } from './interleave.ts'
import { apply, type Load, type Report } from './loadgen.ts'
import { cpuSeconds } from './proc.ts'
import { serve, type Pinning, type Server, type Spec } from './servers.ts'
import type { Effort } from './step.ts'

/** One server's share of a round. */
export interface Sample extends Report {
  /** Microseconds of CPU that the server spent on a message */
  cpu: number
}

/** One side of a comparison. */
export interface Side {
  spec: Spec
  pinning?: Pinning
}

/** A load for as long as the effort says. */
export type Kind = Omit<Load, 'seconds'>

/** Starts the servers, warms each up, and then measures them in turn, while the others are paused. */
export async function duel(sides: readonly Side[], kind: Kind, effort: Effort): Promise<Rounds<Sample>> {
  const servers: Server[] = []
  try {
    for (const { spec, pinning } of sides) {
      const server = await serve(spec, pinning)
      servers.push(server)
      await apply({ ...kind, seconds: effort.warmUp }, server.port)
      server.pause()
    }
    return await interleave(servers, effort.rounds, (server) => measure(server, { ...kind, seconds: effort.seconds }))
  } finally {
    for (const server of servers) await server.close()
  }
}

async function measure(server: Server, load: Load): Promise<Sample | undefined> {
  server.resume()
  const before = cpuSeconds(server.pid)
  const report = await apply(load, server.port)
  const used = cpuSeconds(server.pid) - before
  server.pause()
  return report && report.messages > 0 ? { ...report, cpu: (used / report.messages) * 1e6 } : undefined
}
