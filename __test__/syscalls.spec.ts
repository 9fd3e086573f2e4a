/** The server is made of the six system calls: what strace(1) sees of it. */

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

import type { ExecutionContext } from 'ava'

import { needing } from './support/tools.ts'

/** A process with a server, and its lines. */
async function serverProcess(t: ExecutionContext) {
  const script = fileURLToPath(new URL('support/listen.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', '@oxc-node/core/register', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async () => String((await lines.next()).value)
  t.is(await line(), 'ready')
  return { child, line }
}

/** Traces all threads of a process from here on, those that are still to come included. */
async function trace(t: ExecutionContext, child: ChildProcess, file: string): Promise<ChildProcess> {
  const strace = spawn('strace', ['-f', '-e', 'signal=none', '-o', file, '-p', String(child.pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  t.teardown(() => strace.kill('SIGKILL'))
  const lines = createInterface({ input: strace.stderr })
  const [said] = (await once(lines, 'line')) as [string]
  t.regex(said, /^strace: Process \d+ attached/u)
  return strace
}

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
  const folder = await mkdtemp(join(tmpdir(), 'echo-node-'))
  t.teardown(() => rm(folder, { recursive: true }))
  const file = join(folder, 'trace')
  const { child, line } = await serverProcess(t)
  const strace = await trace(t, child, file)
  child.stdin?.write('go\n')
  t.is(await echo(Number(await line()), 'six system calls'), 'six system calls')
  child.stdin?.end()
  await once(strace, 'exit')
  const threads = new Map<string, string[]>()
  for (const entry of (await readFile(file, 'utf8')).split('\n')) {
    const id = entry.split(' ', 1)[0] ?? ''
    threads.set(id, [...(threads.get(id) ?? []), entry])
  }
  return [...threads.values()]
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
  t.regex(served, / accept4\(\d+, NULL, NULL, SOCK_CLOEXEC\|SOCK_NONBLOCK\) = \d+/u)
  t.regex(served, / read\(\d+, "six system calls", 262144\) = 16/u)
  t.regex(served, / write\(\d+, "six system calls", 16\) += 16/u)
  t.regex(served, / read\(\d+, "", 262144\) += 0/u)

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
