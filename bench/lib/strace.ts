// Counting a server's system calls.
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { end, launch } from './children.ts'
import { apply } from './loadgen.ts'
import { threadsNamed } from './proc.ts'
import type { Server } from './servers.ts'

/** Enough that accepting the connections no longer shows. */
const MESSAGES = 50_000
const CONNECTIONS = 50

/** System calls that the I/O thread makes for a message of 64 B, with 50 connections. */
export async function syscallsPerMessage(server: Server): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'echo-bench-'))
  const file = join(directory, 'calls')
  try {
    const tracer = launch(['strace', '-c', '-U', 'calls,name', '-o', file, ...attachTo(server)], 'take')
    // It says so for each thread; there is one.
    await Promise.race([once(createInterface(tracer.stderr), 'line'), once(tracer, 'exit')])
    const load = { mode: 'closed', connections: CONNECTIONS, size: 64, messages: MESSAGES, seconds: 60 } as const
    const report = await apply(load, server.port)
    await end(tracer, 'SIGINT')
    if (report === undefined) throw new Error('the load was void')
    return total(await readFile(file, 'utf8')) / report.messages
  } finally {
    await rm(directory, { recursive: true })
  }
}

function attachTo(server: Server): string[] {
  const threads = threadsNamed(server.pid, 'echo-io')
  if (threads.length === 0) throw new Error(`${server.name} has no thread named echo-io`)
  return threads.flatMap((thread) => ['-p', thread])
}

/** The sum of the lines "CALLS NAME". */
function total(summary: string): number {
  const counts = [...summary.matchAll(/^\s*(\d+) (?!total)\w+\s*$/gm)]
  if (counts.length === 0) throw new Error(`strace printed no summary: ${summary}`)
  return counts.reduce((sum, [, calls]) => sum + Number(calls), 0)
}
