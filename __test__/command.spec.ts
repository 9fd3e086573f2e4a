// The command as people and machines use it.

import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

import test from 'ava'

import { killAll } from '../support/children.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { until, within } from '../support/wait.ts'
import { Client } from './support/clients.ts'
import { INIT, request, run, start } from './support/command.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

test.after.always(killAll)

/** Requests whose replies exceed what pipes and streams hold. */
const MANY = 20_000

/** The port in the line that says what it listens on. */
const portIn = (line: string): number => Number(/:(\d+)$/.exec(line)![1])

test('--help and --version', async (t) => {
  const help = await run(['--help'])
  t.true(help.stdout.startsWith('Usage:\n'))
  t.deepEqual([help.code, help.stderr], [0, ''])
  t.is((await run(['-h'])).stdout, help.stdout)
  t.like(await run(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
})

const WRONG: [string[], string][] = [
  [['--frobnicate'], "Unknown option '--frobnicate'"],
  [['frobnicate'], 'expected the command serve, got "frobnicate"'],
  [['serve', 'now'], 'expected one command at most, got also "now"'],
  [['--port', '7'], '--port goes with the command serve: echo-node serve --port …'],
  [['serve', '--port'], "Option '--port <value>' argument missing"],
  [['serve', '--port', 'http'], '--port must be a number, got "http"'],
  [['serve', '--port', '65536'], '--port must be an integer from 0 to 65535, got 65536'],
  [['serve', '--port='], '--port must be a number, got ""'],
  [['serve', '--port', '-1'], "Option '--port' argument is ambiguous"],
  [['serve', '--host', 'localhost'], "--host must be an IPv4 address such as '127.0.0.1', got 'localhost'"],
  [['serve', '--max-connections', '0'], '--max-connections must be an integer from 1 to 4294967295, got 0'],
  [['serve', '--idle-timeout', 'never'], '--idle-timeout must be a number, got "never"'],
  [['serve', '--json=yes'], "Option '--json' does not take an argument"],
]

for (const [args, message] of WRONG) {
  test(`wrong arguments: ${args.join(' ')}`, async (t) => {
    t.like(await run(args), { code: 2, stdout: '', stderr: `echo-node: ${message}\n` })
  })
}

test('serve echoes, drains at SIGTERM, prints the totals and exits with 0', async (t) => {
  const server = start(['serve', '--port', '0'])
  const line = await server.line()
  t.regex(line, /^echo-node listening on 127\.0\.0\.1:\d+$/)
  const client = await Client.connect(portIn(line))
  t.true(await client.echo('hello'))
  const code = server.kill('SIGTERM')
  t.is(await client.end(), undefined)
  t.is(await server.line(), '1 connection, 5 B echoed')
  t.is(await code, 0)
  t.is(server.stderr, '')
})

test('serve --max-connections turns clients away, and --json tells of it', async (t) => {
  const server = start(['serve', '--port', '0', '--host', '127.0.0.2', '--max-connections', '1', '--json'])
  const listening = await server.json<{ event: string; host: string; port: number }>()
  t.like(listening, { event: 'listening', host: '127.0.0.2' })
  const served = await Client.connect(listening.port, '127.0.0.2')
  t.true(await served.echo('x'.repeat(2048)))
  const rejected = await Client.connect(listening.port, '127.0.0.2')
  await rejected.end()
  const code = server.kill('SIGINT')
  t.deepEqual(await server.json(), {
    event: 'stopped',
    totalConnections: 1,
    totalBytes: 2048,
    activeConnections: 0,
    rejectedConnections: 1,
  })
  t.is(await code, 0)
})

test('serve --idle-timeout closes silent connections', async (t) => {
  const server = start(['serve', '--port', '0', '--idle-timeout', '0.05'])
  const client = await Client.connect(portIn(await server.line()))
  t.is(await client.end(), undefined)
  t.is(await server.kill('SIGINT'), 0)
})

test('serve on a port that is taken, or an address that is not here, exits with 1', async (t) => {
  const server = start(['serve', '--port', '0'])
  const port = portIn(await server.line())
  t.like(await run(['serve', '--port', `${port}`]), {
    code: 1,
    stdout: '',
    stderr: `echo-node: port ${port} of 127.0.0.1 is already in use\n`,
  })
  t.like(await run(['serve', '--host', '192.0.2.1']), {
    code: 1,
    stderr: 'echo-node: 192.0.2.1 is not an address of this machine\n',
  })
  await server.kill()
})

/** A node that is in the middle of a reply, which is larger than what pipes and streams hold: nobody reads it. */
async function stuckNode(): Promise<ChildProcessWithoutNullStreams> {
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: 'pipe', timeout: 60_000 })
  node.stdin.on('error', () => {})
  const lines = Array.from({ length: MANY }, (_, index) => request('tcp_echo_stats', index))
  const large = request('echo', MANY, { echo: 'x'.repeat(1_000_000) })
  node.stdin.write(`${[INIT, large, ...lines].join('\n')}\n`)
  await once(node.stdout, 'readable')
  await until('the reply has begun', () => node.stdout.readableLength > 10_000)
  return node
}

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`the node at ${signal}: it takes no more, writes what it has to say, and exits with 0`, async (t) => {
    const node = await stuckNode()
    const exit = once(node, 'exit')
    node.kill(signal)
    const lines = (await text(node.stdout)).split('\n')
    t.is(lines.pop(), '')
    const replies = lines.map((line) => (JSON.parse(line) as { body: { msg_id: number } }).body.msg_id)
    t.deepEqual(replies, [...replies.keys()])
    t.true(replies.length < MANY)
    t.deepEqual(await exit, [0, null])
  })
}

test('a second signal ends the node though its replies are not read', async (t) => {
  const node = await stuckNode()
  const exit = once(node, 'exit')
  const asking = setInterval(() => node.kill('SIGTERM'), 50)
  const [code, signal] = (await within('the end of the node', exit)) as [number | null, string | null]
  clearInterval(asking)
  t.deepEqual([code, signal], [null, 'SIGTERM'])
})

test('a reader that takes its time gets every reply before the node ends', async (t) => {
  const node = await stuckNode()
  const exit = once(node, 'exit')
  node.stdin.end()
  const output = await text(node.stdout)
  t.is(output.split('\n').length, MANY + 3)
  t.deepEqual(await exit, [0, null])
})

test('the node ends when nobody reads its replies any more', async (t) => {
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: 'pipe', timeout: 60_000 })
  node.stdin.on('error', () => {})
  const exit = once(node, 'exit')
  node.stdin.write(`${INIT}\n`)
  await once(node.stdout, 'data')
  node.stdout.destroy()
  const complaint = text(node.stderr)
  // The pipe's other end is closed a little later: ask until it is noticed.
  const asking = setInterval(() => node.stdin.write(`${request('tcp_echo_stats', 1)}\n`), 10)
  const [code] = (await within('the end of the node', exit)) as [number]
  clearInterval(asking)
  t.is(code, 1)
  t.is(await complaint, '')
})

test('the node says in one line that its output cannot be written', async (t) => {
  const full = openSync('/dev/full', 'w')
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: ['pipe', full, 'pipe'], timeout: 60_000 })
  closeSync(full)
  node.stdin!.end(`${INIT}\n`)
  const [complaint, [code]] = await Promise.all([text(node.stderr!), once(node, 'exit') as Promise<[number]>])
  t.regex(complaint, /^echo-node: cannot write replies: .*ENOSPC.*\n$/)
  t.is(code, 1)
})

test('reports that nobody reads are counted, not kept', async (t) => {
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: 'pipe', timeout: 60_000 })
  node.stdin.end(`${'x\n'.repeat(40_000)}${INIT}\n`)
  // The reply shows that all lines were read, though nobody took the reports.
  await once(node.stdout, 'data')
  const reports = (await text(node.stderr)).trimEnd().split('\n')
  t.true(reports.length < 20_000)
  t.regex(reports.at(-1)!, /^echo-node: \d+ more lines, left out as nobody read them$/)
})

test('input and output may be files', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'echo-node-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const [requests, replies] = [join(directory, 'requests'), join(directory, 'replies')]
  const lines = Array.from({ length: 5000 }, (_, index) => request('tcp_echo_stats', index))
  await writeFile(requests, [INIT, ...lines].join('\n'))
  const [input, output] = [openSync(requests, 'r'), openSync(replies, 'w')]
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: [input, output, 'inherit'], timeout: 60_000 })
  closeSync(input)
  closeSync(output)
  t.deepEqual(await once(node, 'exit'), [0, null])
  t.is((await readFile(replies, 'utf8')).split('\n').length, 5002)
})
