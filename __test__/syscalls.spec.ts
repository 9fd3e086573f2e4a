/** The server is made of the six system calls: what strace(1) sees of it. */

import { readFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { killAll } from '../support/children.ts'
import { Tracer } from '../support/strace.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { startScript } from './support/command.ts'
import { needing } from './support/tools.ts'

test.afterEach.always(killAll)

async function echo(port: number, message: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(message)
  let answer = ''
  for await (const piece of socket) {
    answer += String(piece)
  }
  return answer
}

/** Starts a server, has it echo, ends it, and returns the lines of the trace by thread. */
async function traceOfOneEcho(t: ExecutionContext): Promise<string[][]> {
  using folder = await temporaryDirectory()
  const file = join(folder.path, 'trace')
  const server = startScript('listen.ts')
  t.is(await server.line(), 'ready')
  // All its threads, those that are still to come included.
  const tracer = await Tracer.attach(server.pid, '-f', '-e', 'signal=none', '-o', file)
  t.is(await echo(Number(await server.ask('go')), 'six system calls'), 'six system calls')
  server.process.stdin.end()
  await tracer.end()
  const threads = new Map<string, string[]>()
  for (const entry of (await readFile(file, 'utf8')).split('\n')) {
    const id = entry.split(' ', 1)[0] ?? ''
    threads.set(id, [...(threads.get(id) ?? []), entry])
  }
  return [...threads.values()].map(whole)
}

/** The trace of one thread, with each call on one line: strace cuts a call in two when another thread comes in between. */
function whole(entries: string[]): string[] {
  const joined = entries.join('\n').replace(/ <unfinished \.\.\.>\n\d+ +<\.\.\. \w+ resumed>/gu, '')
  return joined.replace(/\) +=/gu, ') =').split('\n')
}

needing('strace')('a trace of the server shows the six calls, and no other way to move bytes', async (t) => {
  const threads = await traceOfOneEcho(t)
  const ioThread = threads.find((entries) => entries.some((entry) => entry.includes(' accept4('))) ?? []
  const all = threads.flat().join('\n')
  t.regex(all, / socket\(AF_INET, SOCK_STREAM\|SOCK_CLOEXEC\|SOCK_NONBLOCK, (?:0|IPPROTO_IP)\)/u)
  t.regex(
    all,
    / bind\(\d+, \{sa_family=AF_INET, sin_port=htons\(0\), sin_addr=inet_addr\("127\.0\.0\.1"\)\}, 16\) = 0/u,
  )
  t.regex(all, / listen\(\d+, 511\) += 0/u)
  const served = ioThread.join('\n')
  t.regex(served, / accept4\(\d+, \{sa_family=AF_INET[^}]*\}, \[16\], SOCK_CLOEXEC\|SOCK_NONBLOCK\) = \d+/u)
  t.regex(served, / read\(\d+, "six system calls", 1048576\) = 16/u)
  t.regex(served, / write\(\d+, "six system calls", 16\) += 16/u)
  t.regex(served, / read\(\d+, "", 1048576\) += 0/u)

  const names = new Set(ioThread.map((entry) => /^\d+ +(?<name>\w+)\(/u.exec(entry)?.groups?.['name']))
  const others = [
    'recv',
    'recvfrom',
    'recvmsg',
    'recvmmsg',
    'send',
    'sendto',
    'sendmsg',
    'sendmmsg',
    'sendfile',
    'splice',
  ]
  const waits = ['poll', 'ppoll', 'select', 'pselect6']
  t.deepEqual(
    [...others, ...waits].filter((name) => names.has(name)),
    [],
  )
})
