// The command as people and machines use it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { text } from 'node:stream/consumers'

import test from 'ava'

import { nodeTooOld } from '../api/node-version.ts'
import { duration, number } from '../bin/arguments.ts'
import { Child, killAll } from '../support/children.ts'
import { EXECUTABLE, ROOT } from '../support/paths.ts'
import { within } from '../support/wait.ts'
import { Client } from './support/clients.ts'
import { eventsUpTo, INIT, request, run, start } from './support/command.ts'
import { MANY, stuckNode } from './support/stuck-node.ts'
import { needing } from './support/tools.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

test.after.always(killAll)

/** The port in the line that says what it listens on. */
const portIn = (line: string): number => Number(/:(\d+) /.exec(line)![1])

test('--help and --version', async (t) => {
  const help = await run(['--help'])
  t.true(help.stdout.startsWith('Usage:\n'))
  t.deepEqual([help.code, help.stderr], [0, ''])
  t.is((await run(['-h'])).stdout, help.stdout)
  t.like(await run(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
})

test('it reads nothing but the package', async (t) => {
  const permission = process.allowedNodeEnvironmentFlags.has('--permission') ? '' : 'experimental-'
  const flags = ['--no-warnings', `--${permission}permission`, '--allow-addons', `--allow-fs-read=${ROOT}/*`]
  const child = new Child([process.execPath, ...flags, EXECUTABLE, '--version'])
  t.is(await child.line(), version)
  t.is(await child.end(), 0)
})

const DURATION = 'a duration in whole milliseconds, such as 500ms, 30s or 2m'

const WRONG: [string[], string][] = [
  [['--frobnicate'], 'unknown option --frobnicate, see --help'],
  [['-x'], 'unknown option -x, see --help'],
  [['--__proto__'], 'unknown option --__proto__, see --help'],
  [['--a. b\nc'], String.raw`unknown option --a. b\u{a}c, see --help`],
  [['--\u001b[31mred\u009b\u202e'], String.raw`unknown option --\u{1b}[31mred\u{9b}\u{202e}, see --help`],
  [['\u001b[2J'], String.raw`the command must be serve or ping, see --help, got "\u001b[2J"`],
  [['frobnicate'], 'the command must be serve or ping, see --help, got "frobnicate"'],
  [['serve', 'now'], 'serve takes only options, such as --port N, got also "now"'],
  [['ping'], 'ping needs a target: echo-node ping HOST:PORT'],
  [['ping', 'a:1', 'b:1'], 'ping takes one target, HOST:PORT, got also "b:1"'],
  ...['localhost', 'a:0', 'a:65536', ':7', 'a:b', 'http://a:7', '[::1]:7', 'a b:7', '::1:7'].map(
    (target): [string[], string] => [
      ['ping', target],
      `the target must be HOST:PORT, an IPv4 address or a name and a port from 1 to 65535, got "${target}"`,
    ],
  ),
  [['ping', 'a:1', '--count', '0'], '--count must be an integer from 1 to 4294967295, got 0'],
  [['ping', 'a:1', '--count', 'all'], '--count must be a number, got "all"'],
  [['ping', 'a:1', '--size', '67108865'], '--size must be an integer from 0 to 67108864, got 67108865'],
  [['ping', 'a:1', '--interval', '-1'], `--interval must be ${DURATION}, got "-1"`],
  [['ping', 'a:1', '--interval', '36000m'], '--interval must be an integer from 0 to 2147483647, got 2160000000'],
  [['ping', 'a:1', '--timeout', 'soon'], `--timeout must be ${DURATION}, got "soon"`],
  [['ping', 'a:1', '--timeout', '0'], '--timeout must be an integer from 1 to 2147483647, got 0'],
  [['ping', 'a:1', '--port', '7'], '--port needs the command serve: echo-node serve --port …'],
  [['serve', '--count', '7'], '--count needs the command ping: echo-node ping --count …'],
  [['--json'], '--json needs the command serve or ping: echo-node serve --json …'],
  [['--port', '7'], '--port needs the command serve: echo-node serve --port …'],
  [['serve', '--port'], '--port needs a value'],
  [['serve', '-p'], '-p needs a value'],
  [['serve', '--port', 'http'], '--port must be a number, got "http"'],
  [['serve', '--port', '65536'], '--port must be an integer from 0 to 65535, got 65536'],
  [['serve', '--port='], '--port must be a number, got ""'],
  [['serve', '--port', '-1'], '--port must be an integer from 0 to 65535, got -1'],
  [['serve', '-p', '1.5'], '--port must be an integer from 0 to 65535, got 1.5'],
  [['serve', '--port', '--json'], '--port must be a number, got "--json"'],
  [['serve', '--host', 'localhosts'], "--host must be an IPv4 address such as '127.0.0.1', got 'localhosts'"],
  [['serve', '--max-connections', '0'], '--max-connections must be an integer from 1 to 4294967295, got 0'],
  [['serve', '--threads', '65'], '--threads must be an integer from 1 to 64, got 65'],
  [['serve', '--delay', '5-'], `--delay must be ${DURATION}, got "5-"`],
  [['serve', '--delay', '5-3'], '--delay must be a range from a shorter to a longer duration, got "5-3"'],
  [['serve', '--delay', '1-2-3'], `--delay must be ${DURATION}, got "1-2-3"`],
  [['serve', '--rate', '0x10'], '--rate must be a number, got "0x10"'],
  [['serve', '--share', '1.'], '--share must be a number, got "1."'],
  [['serve', '--share', '-.5'], '--share must be a number from 0 to 1, got -0.5'],
  [['serve', '--idle-timeout', 'never'], `--idle-timeout must be ${DURATION}, got "never"`],
  [['serve', '--idle-timeout', '0.0001'], `--idle-timeout must be ${DURATION}, got "0.0001"`],
  [['serve', '--idle-timeout', '0.0000001'], `--idle-timeout must be ${DURATION}, got "0.0000001"`],
  [['serve', '--idle-timeout', '-1s'], `--idle-timeout must be ${DURATION}, got "-1s"`],
  [['serve', '--idle-timeout', '1000000m'], '--idle-timeout must be an integer from 0 to 4294967295, got 60000000000'],
  [['serve', '--json=yes'], '--json takes no value'],
]

for (const [args, message] of WRONG) {
  // One after the other: so many processes at once would hold up each other, and the tests beside them.
  test.serial(`wrong arguments: ${args.join(' ')}`, async (t) => {
    t.like(await run(args), { code: 2, stdout: '', stderr: `echo-node: ${message}\n` })
  })
}

needing('unshare')('serve listens where the loopback interface is down', async (t) => {
  for (const host of ['0.0.0.0', '127.0.0.1']) {
    const command = [process.execPath, EXECUTABLE, 'serve', '--port', '0', '--host', host]
    const server = new Child(['unshare', '--map-root-user', '--net', ...command])
    t.true((await server.line()).startsWith(`echo-node listening on ${host}:`))
    t.is(await server.kill('SIGTERM'), 0)
  }
})

test('serve echoes, drains at SIGTERM, prints the totals and exits with 0', async (t) => {
  const server = start(['serve', '--port', '0'])
  const line = await server.line()
  t.regex(line, /^echo-node listening on 127\.0\.0\.1:\d+ \(to end it: Ctrl-C, or kill \d+\)$/)
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
  const { localAddress: remoteAddress, localPort: remotePort } = served.socket
  const { localPort } = rejected.socket
  const [connection, drop, disconnect, ...rest] = await eventsUpTo('stopped', server)
  t.deepEqual(connection, { event: 'connection', id: 1, remoteAddress, remotePort })
  t.deepEqual(drop, { event: 'drop', remoteAddress, remotePort: localPort })
  t.like(disconnect, { event: 'disconnect', id: 1, remoteAddress, remotePort, bytes: 2048, reason: 'stop' })
  const stats = { totalConnections: 1, totalBytes: 2048, activeConnections: 0, rejectedConnections: 1 }
  t.deepEqual(rest, [{ event: 'stopped', ...stats }])
  t.is(await code, 0)
})

test('serve --verbose prints a line for each connection and for its end', async (t) => {
  const server = start(['serve', '--port', '0', '--host', 'localhost', '--max-connections', '1', '--verbose'])
  const client = await Client.connect(portIn(await server.line()))
  const address = `127.0.0.1:${client.socket.localPort}`
  t.is(await server.line(), `#1 ${address} connected`)
  t.true(await client.echo('x'.repeat(1536)))
  const other = await Client.connect(client.socket.remotePort!)
  await other.end()
  t.is(await server.line(), `127.0.0.1:${other.socket.localPort} rejected`)
  await client.close()
  const end = await server.line()
  t.regex(end.replace(address, 'A'), /^#1 A ended by the client, 1\.5 KiB echoed in [\d.]+ m?s$/)
  const lost = await Client.connect(client.socket.remotePort!)
  t.true(await lost.echo('hello'))
  const [name] = /^#2 \S+ /.exec(await server.line())!
  lost.reset()
  t.regex((await server.line()).replace(name, ''), /^reset by the client, 5 B echoed in [\d.]+ m?s$/)
  const code = server.kill('SIGTERM')
  t.is(await server.line(), '2 connections, 1.5 KiB echoed, 1 rejected')
  t.is(await code, 0)
})

/** Runs `serve` with this PORT in the environment. */
const serve = (environment: string, ...args: string[]): ReturnType<typeof run> =>
  run(['serve', ...args], '', ['env', `PORT=${environment}`])

test('PORT in the environment is the default of --port', async (t) => {
  const taken = start(['serve', '--port', '0'])
  const port = portIn(await taken.line())
  const stderr = `echo-node: port ${port} of 127.0.0.1 is already in use\n`
  t.like(await serve(`${port}`), { code: 1, stderr })
  t.like(await serve('1', '--port', `${port}`), { code: 1, stderr })
  t.like(await serve('http'), { code: 2, stderr: 'echo-node: PORT must be a number, got "http"\n' })
  const range = 'echo-node: PORT must be an integer from 0 to 65535, got 65536\n'
  t.like(await serve('65536'), { code: 2, stderr: range })
})

for (const time of ['50', '50ms', '0.05s']) {
  test(`serve --idle-timeout ${time} closes idle connections after 50 ms`, async (t) => {
    const server = start(['serve', '-p', '0', '--threads', '2', '--idle-timeout', time])
    const port = portIn(await server.line())
    const begin = performance.now()
    const client = await Client.connect(port)
    t.is(await client.end(), undefined)
    // Seconds would not be over yet, and minutes neither.
    t.true(performance.now() - begin < 10_000)
    t.is(await server.kill('SIGINT'), 0)
  })
}

test('durations', (t) => {
  const cases: [string, number][] = [
    ['0', 0],
    ['1500', 1500],
    ['500ms', 500],
    ['30s', 30_000],
    ['1.1s', 1100],
    ['2m', 120_000],
    ['1.1m', 66_000],
    ['0.29s', 290],
    ['.5s', 500],
  ]
  for (const [typed, milliseconds] of cases) t.is(duration('d', typed), milliseconds, typed)
})

test('numbers', (t) => {
  for (const typed of ['0', '-1', '1.5', '.5', '1e6', '1E-3', '2.5e+3']) t.is(number('n', typed), Number(typed))
})

test('serve --json tells why it cannot listen', async (t) => {
  const server = start(['serve', '--port', '0'])
  const port = portIn(await server.line())
  const error = `port ${port} of 127.0.0.1 is already in use`
  const stdout = `${JSON.stringify({ event: 'failed', error })}\n`
  t.like(await run(['serve', '--port', `${port}`, '--json']), { code: 1, stdout, stderr: `echo-node: ${error}\n` })
  t.like(await run(['serve', '--port', '-1', '--json']), { code: 2, stdout: '' })
})

test('serve on a port that is taken, or an address that is not here, exits with 1', async (t) => {
  const server = start(['serve', '--port', '0'])
  const port = portIn(await server.line())
  t.like(await run(['serve', '--port', `${port}`]), {
    code: 1,
    stdout: '',
    stderr: `echo-node: port ${port} of 127.0.0.1 is already in use\n`,
  })
  for (const host of ['192.0.2.1', '224.0.0.1', '127.255.255.255']) {
    const stderr = `echo-node: ${host} is not an address of this machine\n`
    t.like(await run(['serve', '--host', host]), { code: 1, stderr })
  }
  await server.kill()
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

test('reports that nobody reads are counted, not kept', async (t) => {
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: 'pipe', timeout: 60_000 })
  node.stdin.end(`${'x\n'.repeat(100_000)}${INIT}\n`)
  // The reply shows that all lines were read, though nobody took the reports.
  await once(node.stdout, 'data')
  const reports = (await text(node.stderr)).trimEnd().split('\n')
  t.true(reports.length < 50_000)
  t.regex(reports.at(-1)!, /^echo-node: \d+ more lines, left out because nobody read them$/)
})

test('reports to a file are all there, however many come at once', async (t) => {
  const path = join(await mkdtemp(join(tmpdir(), 'echo-node-')), 'log')
  t.teardown(() => rm(dirname(path), { recursive: true }))
  const log = openSync(path, 'w')
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: ['pipe', 'ignore', log], timeout: 60_000 })
  closeSync(log)
  node.stdin!.end('x\n'.repeat(3000))
  await once(node, 'exit')
  t.is((await readFile(path, 'utf8')).match(/malformed/g)?.length, 3000)
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

test('a Node.js older than 20.19 is told so', (t) => {
  for (const old of ['4.9.1', '18.20.8', '20.18.3']) t.regex(nodeTooOld(old) ?? '', /install Node\.js 20\.19 or later/)
  for (const newer of ['20.19.0', '21.0.0', '22.1.0']) t.is(nodeTooOld(newer), undefined)
})
