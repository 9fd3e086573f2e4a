// Counts of what a server does per message. Unlike times, they are the same on a busy machine.

import { join } from 'node:path'

import { Child, type Command } from '../../support/children.ts'
import { readsAndWrites, threads } from '../../support/proc.ts'
import { run } from '../../support/run.ts'
import { temporaryDirectory } from '../../support/temporary.ts'
import { apply, CLIENT_CORE, type Load } from './loadgen.ts'
import { portIn, type Server, type Spec } from './servers.ts'

/** Starting and stopping cost the same in two runs, so the difference is that of the messages. */
const FEW = 2_000
const MANY = 12_000

/** Enough that accepting the connections no longer shows. */
const COUNTED = 50_000

/** Sends so many messages of 64 B. Returns how many. */
async function send(messages: number, connections: number, port: number): Promise<number> {
  const load: Load = { mode: 'closed', connections, size: 64, messages }
  const report = await apply(load, port, 60)
  if (report === undefined) throw new Error('the load was void')
  return report.messages
}

/**
 * A server whose waits strace writes to its stderr. It stops the server's threads in no other call: a thread that it slows down at
 * each call finds the next message here, and reads it at once.
 */
export function showingWaits(spec: Spec): Spec {
  const strace = ['strace', '--daemonize', '--follow-forks', '--seccomp-bpf', '--trace=?epoll_wait,epoll_pwait']
  return { ...spec, command: [...strace, ...spec.command] }
}

/** System calls that the I/O thread of a server that shows its waits makes per message, with 50 connections. Ends it. */
export async function syscallsPerMessage({ child, port }: Server): Promise<number> {
  const [thread] = threads(child.pid, 'echo-io')
  if (thread === undefined) throw new Error('the server has no thread named echo-io')
  const before = readsAndWrites(child.pid, thread)
  const messages = await send(COUNTED, 50, port)
  const calls = readsAndWrites(child.pid, thread) - before
  await child.kill()
  const waits = child.stderr.match(new RegExp(`^\\[pid +${thread}\\] epoll_p?wait\\(`, 'gm'))?.length ?? 0
  if (calls < messages || waits === 0) throw new Error(`${calls} reads and writes, ${waits} waits: they were not seen`)
  return (calls + waits) / messages
}

/**
 * Instructions of the program itself per message on one connection: one turn of the event loop, one read, one write. What
 * the kernel and the C library do is not counted.
 */
export async function instructionsPerMessage(command: Command): Promise<number> {
  return ((await instructions(command, MANY)) - (await instructions(command, FEW))) / (MANY - FEW)
}

async function instructions(command: Command, messages: number): Promise<number> {
  using directory = await temporaryDirectory()
  const file = join(directory.path, 'callgrind')
  // Apart from the client: beside it, by chance, the next message is here before the server looks again or is not.
  const apart = CLIENT_CORE === undefined ? [] : ['taskset', '-c', '0']
  const child = new Child([
    ...apart,
    'valgrind',
    '--quiet',
    '--tool=callgrind',
    `--callgrind-out-file=${file}`,
    ...command,
  ])
  await send(messages, 1, portIn(await child.line(30_000)))
  // The end of its input ends the program, which then writes the counts.
  child.process.stdin.end()
  await child.end()
  const functions = await run(['callgrind_annotate', '--threshold=100', '--show-percs=no', file])
  // A line per function: its count, where it is, and in brackets its object.
  const own = [...functions.matchAll(/^ *([\d,]+) .*\[(.+)\]$/gm)].filter(([, , object]) => object === command[0])
  if (own.length === 0) throw new Error(`callgrind counted nothing in ${command[0]}`)
  return own.reduce((sum, [, count]) => sum + Number(count!.replaceAll(',', '')), 0)
}
