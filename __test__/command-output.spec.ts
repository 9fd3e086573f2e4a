// Wherever the output goes, and whoever reads it no more: no stack trace.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

import test from 'ava'
import { EchoServer } from 'echo-node'

import { killAll, mortal } from '../support/children.ts'
import { EXECUTABLE, typescript } from '../support/paths.ts'
import { freePort } from '../support/ports.ts'
import { Client } from './support/clients.ts'
import { INIT, request, run, start } from './support/command.ts'
import { anonymousBytes, threads } from '../support/proc.ts'
import { attempt } from '../support/run.ts'
import { size } from './support/size.ts'
import { atTerminal, needing } from './support/tools.ts'
import { until, within } from '../support/wait.ts'

test.after.always(killAll)

/** Runs the command by way of the shell, with its streams redirected. */
const redirected = (args: string[], redirection: string, input = '') =>
  within(`the end of ${args.join(' ')} ${redirection}`, run(args, input, ['sh', '-c', `exec "$0" "$@" ${redirection}`]))

/** Whether a process has its I/O thread, which is to say that it listens. */
const listens = (pid: number): boolean => threads(pid, 'echo-io').length > 0

const MODES: [args: string[], input?: string][] = [
  [['--help']],
  [['--version']],
  [['serve', '--port', '0']],
  [['serve', '--port', '0', '--json']],
  [[], `${INIT}\n`],
]

test('wrong arguments with a full disk: one line on stderr, exit code 2', async (t) => {
  const { code, stderr } = await redirected(['frobnicate'], '>/dev/full')
  t.regex(stderr, /^echo-node: .*frobnicate.*\n$/)
  t.is(code, 2)
})

for (const [args, input, reason] of [
  [['--help'], '', 'to stdout'],
  [[], [INIT, ...Array.from({ length: 50 }, (_, index) => request('tcp_echo_stats', index))].join('\n'), 'replies'],
] as const) {
  test(`echo-node ${args.join(' ')} with a file that takes only a part: one line on stderr, exit code 1`, async (t) => {
    const small = 'trap "" XFSZ; ulimit -f 1; f=$(mktemp); exec 3>"$f"; rm "$f"; exec "$0" "$@" >&3'
    const { code, stderr } = await within('its end', run([...args], input, ['sh', '-c', small]))
    t.regex(stderr, new RegExp(`^echo-node: cannot write ${reason}: .*EFBIG.*\\n$`))
    t.is(code, 1)
  })
}

test('a node that cannot read its requests: one line on stderr, exit code 1', async (t) => {
  const { code, stderr } = await redirected([], '0>/dev/full')
  t.regex(stderr, /^echo-node: cannot read requests: .*EBADF.*\n$/)
  t.is(code, 1)
})

for (const [args, input] of MODES) {
  const name = ['echo-node', ...args].join(' ')

  test(`${name} with a full disk: one line on stderr, exit code 1`, async (t) => {
    const { code, stderr } = await redirected(args, '>/dev/full', input)
    t.regex(stderr, /^echo-node: cannot write (to stdout|replies): .*ENOSPC.*\n$/)
    t.is(code, 1)
  })

  test(`${name} with a directory as output: one line on stderr, exit code 1`, async (t) => {
    const { code, stderr } = await redirected(args, '1</', input)
    t.regex(stderr, /^echo-node: cannot write (to stdout|replies): .*EBADF.*\n$/)
    t.is(code, 1)
  })

  test(`${name} with a full disk for both: exit code 1`, async (t) => {
    t.is((await redirected(args, '>/dev/full 2>/dev/full', input)).code, 1)
  })

  test(`${name} without a reader: silence`, async (t) => {
    const child = spawn(process.execPath, [EXECUTABLE, ...args], { timeout: 60_000, killSignal: 'SIGKILL' })
    const exit = once(child, 'exit')
    child.stdout.destroy()
    const stderr = text(child.stderr)
    child.stdin.on('error', () => {})
    // The other end is closed a little later than the program starts, or a little earlier.
    child.stdin.end(input)
    if (args[0] === 'serve') {
      await until('it listens', () => listens(child.pid!))
      child.kill('SIGTERM')
    }
    const [code] = (await within('its end', exit)) as [number]
    t.is(await stderr, '')
    // A node cannot do its work without a reader.
    t.true(code === 0 || (args.length === 0 && code === 1), `exit code ${code}`)
  })
}

test('a node that cannot read its requests from such a descriptor: one line on stderr, exit code 1', async (t) => {
  const { code, stderr } = await redirected([], '0</')
  t.is(stderr, 'echo-node: cannot read requests: stdin must be a file, a pipe, a stream socket or a terminal\n')
  t.is(code, 1)
})

test('a node whose reports nobody reads ends all the same', async (t) => {
  const node = spawn(process.execPath, [EXECUTABLE], { timeout: 60_000, killSignal: 'SIGKILL' })
  const exit = once(node, 'exit')
  // Together more than a pipe holds.
  node.stdin.end(`${`${'x'.repeat(50)}\n`.repeat(2000)}${INIT}\n`)
  t.regex(await within('its replies', text(node.stdout)), /init_ok/)
  const [code] = (await within('its end', exit)) as [number]
  t.is(code, 0)
})

test('ping with a full disk, and a file for errors: exit code 1 though every round is echoed', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop())
  const full = 'f=$(mktemp); exec 2>"$f"; rm "$f"; exec "$0" "$@" >/dev/full'
  const args = ['ping', `127.0.0.1:${server.start()}`, '--count', '1']
  t.is((await run(args, '', ['sh', '-c', full])).code, 1)
})

for (const redirection of ['2>/dev/full', '2>&-', '>&- 2>&-', '<&- >&- 2>&-']) {
  test(`wrong arguments with ${redirection} are still exit code 2`, async (t) => {
    t.like(await redirected(['--wrong'], redirection), { code: 2, stdout: '', stderr: '' })
  })

  test(`a malformed request with ${redirection} does not end the node`, async (t) => {
    const { code, stderr } = await redirected([], redirection, `nonsense\n${INIT}\nnonsense\n`)
    t.deepEqual([code, stderr], [0, ''])
  })
}

for (const redirection of ['>&-', '<&-', '2>&-']) {
  test(`--help with ${redirection}`, async (t) => {
    t.like(await redirected(['--help'], redirection), { code: 0, stderr: '' })
  })
}

/** What serve writes to a terminal of so many columns, until it is stopped. */
async function onTerminal(environment: string, columns = 30): Promise<string> {
  const command = `stty cols ${columns}; exec env ${environment} "${process.execPath}" "${EXECUTABLE}" serve -p 0`
  const terminal = spawn(...mortal(atTerminal(command)), { timeout: 60_000, killSignal: 'SIGKILL' })
  let output = ''
  terminal.stdout.setEncoding('utf8').on('data', (some: string) => (output += some))
  const exit = once(terminal, 'exit')
  await until('it listens', () => output.includes('listening'))
  // A live line comes each second: after two there is one, if there is to be one.
  await until('a live line', () => output.includes('\u001b[K'), 2500).catch(() => {})
  terminal.stdin.write('\u0003')
  const [code] = (await within('its end', exit)) as [number]
  if (code !== 0) throw new Error(`exit code ${code}: ${output}`)
  return output
}

for (const columns of [2, 30, 40]) {
  needing('script')(`the live line and the ^C that ends it fit in ${columns} columns`, async (t) => {
    const output = await onTerminal('TERM=xterm', columns)
    const lines = output.split('\r\u001b[K').slice(1, -1)
    const shown = '0 connected, 0 B/s; in all 0 connections'.slice(0, Math.max(0, columns - 3))
    t.true(lines.includes(`${shown}^C`), output)
    t.true(
      lines.every((line) => line === shown || line === `${shown}^C`),
      output,
    )
  })
}

needing('script')('a dumb terminal gets no live line', async (t) => {
  const output = await onTerminal('TERM=dumb')
  t.false(output.includes('\u001b'), output)
  t.true(output.includes('0 connections, 0 B echoed'))
})

for (const flag of ['--verbose', '--json']) {
  test(`serve ${flag} to nobody who reads: it serves on, memory is bounded, and lines left out are counted`, async (t) => {
    const port = await freePort()
    const server = spawn(process.execPath, [EXECUTABLE, 'serve', '-p', `${port}`, flag], { timeout: 600_000 })
    const exit = once(server, 'exit')
    await until('it listens', () => listens(server.pid!))
    const before = anonymousBytes(server.pid!)
    // Together more than the 8 MiB that wait for a reader.
    const cycles = size(1000, 150_000)
    const load = typescript('__test__/support/load-child.ts', ['reset', `${port}`, `${cycles}`])
    t.is((await attempt(load, { timeout: 300_000 })).code, 0)
    const grown = anonymousBytes(server.pid!) - before
    t.true(grown < 128 * 1024 * 1024, `${grown} bytes`)
    server.kill('SIGTERM')
    const lines = (await text(server.stdout)).trimEnd().split('\n')
    t.deepEqual(await exit, [0, null])
    t.true(lines.length >= Math.min(2 * cycles, 50_000))
    const told = flag === '--json' ? /"omitted","lines":(\d+)/ : /^(\d+) more lines/mu
    const omitted = Number(told.exec(lines.slice(-3).join('\n'))?.[1] ?? 0)
    // The first line, the last one, and the one that counts.
    t.is(lines.length - 2 + (omitted && omitted - 1), 2 * cycles)
    t.log(`${lines.length} lines, ${omitted} left out, ${grown} bytes`)
  })
}

for (const flag of ['--verbose', '--json']) {
  test(`serve ${flag}, whose stdout nobody reads, ends at one signal`, async (t) => {
    const port = await freePort()
    const server = spawn(process.execPath, [EXECUTABLE, 'serve', '-p', `${port}`, flag], { timeout: 60_000 })
    const exit = once(server, 'exit')
    await until('it listens', () => listens(server.pid!))
    // Together more than Node.js and the kernel take.
    const load = typescript('__test__/support/load-child.ts', ['reset', `${port}`, '4000'])
    t.is((await attempt(load, { timeout: 60_000 })).code, 0)
    server.kill('SIGTERM')
    t.deepEqual(await within('its end', exit), [0, null])
  })
}

needing('script')('lines of --verbose go above the live line, which stays', async (t) => {
  const port = await freePort()
  const command = `exec env TERM=xterm "${process.execPath}" "${EXECUTABLE}" serve -p ${port} --verbose`
  const terminal = spawn(...mortal(atTerminal(command)), { timeout: 60_000, killSignal: 'SIGKILL' })
  let output = ''
  terminal.stdout.setEncoding('utf8').on('data', (some: string) => (output += some))
  await until('a live line', () => output.endsWith('0 connected, 0 B/s; in all 0 connections, 0 B echoed'))
  await (await Client.connect(port)).close()
  const line = /ended by the client, 0 B echoed in [\d.]+ ms\r\n0 connected, 0 B\/s; in all/
  await until('the live line is back', () => line.test(output))
  terminal.stdin.write('\u0003')
  t.deepEqual(await within('its end', once(terminal, 'exit')), [0, null])
})

test('serve says nothing more to a reader that left, and serves on', async (t) => {
  const server = start(['serve', '--port', '0'])
  await server.line()
  server.process.stdout.destroy()
  t.is(await server.kill('SIGTERM'), 0)
  t.is(server.stderr, '')
})

const failingBind = (errno: string) =>
  `strace -f -qqq -o /dev/null -e trace=bind -e inject=bind:error=${errno}`.split(' ')

for (const [errno, reason] of [
  ['EACCES', 'listening on port 7 of 127.0.0.1 is not permitted'],
  ['EADDRNOTAVAIL', '127.0.0.1 is not an address of this machine'],
  ['ENOMEM', 'bind ENOMEM: not enough memory 127.0.0.1:7'],
] as const) {
  needing('strace')(`serve says in words why it cannot listen: ${errno}`, async (t) => {
    const outcome = await run(['serve', '--port', '7'], '', failingBind(errno))
    t.deepEqual([outcome.code, outcome.stdout, outcome.stderr], [1, '', `echo-node: ${reason}\n`])
  })
}
