// How many system calls a message takes.
import { atMost } from '../lib/outcome.ts'
import { echoNode, serve } from '../lib/servers.ts'
import { spread } from '../lib/statistics.ts'
import type { Effort, Missing, Step } from '../lib/step.ts'
import { syscallsPerMessage } from '../lib/strace.ts'

/** System calls a message, counted by strace. */
export function syscallRows({ quick }: Effort, missing: Missing): Step[] {
  const rounds = quick ? 1 : 3
  const line = { what: 'syscalls a message, 64 B, 50 connections', unit: 'calls', limit: atMost(2.05) }
  return [
    {
      name: line.what,
      seconds: rounds * 4,
      async run() {
        const skipped = missing.get('strace')
        if (skipped !== undefined) return { outcomes: [{ ...line, skipped }] }
        const server = await serve(echoNode())
        try {
          const values: number[] = []
          for (let round = 0; round < rounds; round++) values.push(await syscallsPerMessage(server))
          return { outcomes: [{ ...line, value: spread(values), rounds }] }
        } finally {
          await server.close()
        }
      },
    },
  ]
}
