// Stop signals: the first ones drain, a later one cuts off.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants as flags, existsSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import test, { type ExecutionContext } from 'ava'
import { EchoServer } from 'echo-node'

import { Child, killAll, mortal, type Command } from '../support/children.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { freePort, isFree } from '../support/ports.ts'
import { Client, parallel } from './support/clients.ts'
import { eventsUpTo, INIT, request, start } from './support/command.ts'
import { threads } from '../support/proc.ts'
import { Tracer } from '../support/strace.ts'
import { readSlowly } from './support/slow-reader.ts'
import { MANY, stuckNode } from './support/stuck-node.ts'
import { atTerminal, needing } from './support/tools.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { until } from '../support/wait.ts'

test.after.always(killAll)

const withScript = needing('script', { alone: false })

/** Longer than signals may be apart to be the same request. */
const LATER = 600

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
const TOGETHER: NodeJS.Signals[][] = [
  ...SIGNALS.map((signal) => [signal]),
  ...SIGNALS.map((signal) => [signal, signal]),
  ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGTERM'],
]

const SERVE = [process.execPath, EXECUTABLE, 'serve', '--port', '0', '--json']

/** Starts Node.js with code that runs first. */
async function withCode(t: ExecutionContext, code: string): Promise<string[]> {
  const work = await temporaryDirectory()
  t.teardown(() => work[Symbol.dispose]())
  writeFileSync(join(work.path, 'first.cjs'), code)
  return ['env', `NODE_OPTIONS=--require=${work.path}/first.cjs`]
}

/** At SIGUSR2 it sends these signals to itself, one after the other: from outside they might come too late. */
function sendingItself(t: ExecutionContext, signals: readonly NodeJS.Signals[]): Promise<string[]> {
  return withCode(
    t,
    `
    process.once('SIGUSR2', async () => {
      for (const signal of ${JSON.stringify(signals)}) {
        process.kill(process.pid, signal)
        await require('node:timers/promises').setTimeout(5)
      }
    })
    `,
  )
}

for (const signals of TOGETHER) {
  test(`serve at ${signals.join(', ')}: it drains, prints the totals and exits with 0`, async (t) => {
    const server = new Child([...(await sendingItself(t, signals)), ...SERVE])
    const { port } = await server.json<{ port: number }>()
    const client = await Client.connect(port)
    t.true(await client.echo('hello'))
    server.process.kill('SIGUSR2')
    t.is(await client.end(), undefined)
    const events = await eventsUpTo('stopped', server)
    t.like(events.at(-1), { totalConnections: 1, totalBytes: 5 })
    t.is(await server.end(), 0)
    t.is(server.stderr, '')
  })

  test(`the node at ${signals.join(', ')}: it writes what it has to say, and exits with 0`, async (t) => {
    const node = await stuckNode(await sendingItself(t, signals))
    const exit = once(node, 'exit')
    node.kill('SIGUSR2')
    const lines = (await text(node.stdout)).split('\n')
    t.is(lines.pop(), '')
    const replies = lines.map((line) => (JSON.parse(line) as { body: { msg_id: number } }).body.msg_id)
    t.deepEqual(replies, [...replies.keys()])
    t.true(replies.length < MANY)
    t.deepEqual(await exit, [0, null])
  })
}

/** What happens to a node that has heard a signal: further ones, then stalls, and the signals that come while it stalls. */
interface Story {
  heard: NodeJS.Signals
  further: NodeJS.Signals[]
  stalls: NodeJS.Signals[][]
}

const STORIES: Record<string, Story> = {
  // SIGUSR2 is no stop signal.
  'a stall before both': { heard: 'SIGUSR2', further: [], stalls: [['SIGTERM', 'SIGINT']] },
  'a stall between them': { heard: 'SIGTERM', further: [], stalls: [['SIGTERM']] },
  'a stall between them that is as long again': { heard: 'SIGTERM', further: [], stalls: [['SIGINT'], []] },
  'a stall after both': { heard: 'SIGTERM', further: ['SIGHUP'], stalls: [[]] },
}

/** A node that cannot end by itself, and lives a story: by its own doing, for who is too late from outside spoils it. */
async function nodeIn(t: ExecutionContext, { heard, further, stalls }: Story, stall: string): Promise<ChildProcess> {
  const through = await withCode(
    t,
    `
    const kill = (signals) => signals.forEach((signal) => process.kill(process.pid, signal))
    const stalls = ${JSON.stringify(stalls)}
    function next() {
      const signals = stalls.shift()
      if (signals === undefined) return
      ${stall}
      setImmediate(next)
    }
    process.once('${heard}', () => {
      kill(${JSON.stringify(further)})
      // When the node, too, has heard it.
      setImmediate(next)
    })
    `,
  )
  const node = await stuckNode(through)
  node.kill(heard)
  return node
}

const BLOCK = `kill(signals); for (const end = Date.now() + ${LATER}; Date.now() < end;);`
const STOP = "kill(['SIGSTOP'])"

/** Waits until a process has stopped itself, and lets it go on after more than half a second. */
async function letGoOn(node: ChildProcess, signals: NodeJS.Signals[]): Promise<void> {
  await until('it is stopped', () => / T /.test(readFileSync(`/proc/${node.pid}/stat`, 'latin1')))
  for (const signal of signals) node.kill(signal)
  await sleep(LATER)
  node.kill('SIGCONT')
}

/** Goes on asking a process to end, as somebody at a terminal does: nobody knows when the first signal was heard. */
async function insist(node: ChildProcess, ask: () => void): Promise<void> {
  const hasEnded = (): boolean => node.exitCode !== null || node.signalCode !== null
  await until('it has ended', () => {
    if (!hasEnded()) ask()
    return hasEnded()
  })
}

for (const [name, story] of Object.entries(STORIES)) {
  test(`two signals are one request in spite of ${name}, of the event loop`, async (t) => {
    const node = await nodeIn(t, story, BLOCK)
    const exit = once(node, 'exit')
    await text(node.stdout!)
    t.deepEqual(await exit, [0, null])
  })

  test(`two signals are one request in spite of ${name}, of the process`, async (t) => {
    const node = await nodeIn(t, story, STOP)
    const exit = once(node, 'exit')
    for (const signals of story.stalls) await letGoOn(node, signals)
    await text(node.stdout!)
    t.deepEqual(await exit, [0, null])
  })
}

test('a signal after a stall ends the node', async (t) => {
  const node = await nodeIn(t, { heard: 'SIGTERM', further: [], stalls: [[]] }, STOP)
  const exit = once(node, 'exit')
  await letGoOn(node, [])
  await insist(node, () => node.kill('SIGINT'))
  t.deepEqual(await exit, [null, 'SIGINT'])
})

for (const signal of SIGNALS) {
  test(`a later ${signal} ends the node though its replies are not read`, async (t) => {
    const node = await stuckNode()
    const exit = once(node, 'exit')
    node.kill('SIGTERM')
    await insist(node, () => node.kill(signal))
    t.deepEqual(await exit, [null, signal])
  })
}

withScript('serve drains and exits with 0 when its terminal is closed', async (t) => {
  const scene = await terminalScene(t, 'serve -p 0')
  await scene.terminal.line()
  await scene.terminal.kill()
  process.kill(scene.command, 'SIGHUP')
  t.deepEqual(await scene.end(), ['', '0'])
})

const HINT = 'echo-node: reading Maelstrom requests, one JSON object per line; Ctrl-D ends, see --help'

for (const signaled of [true, false]) {
  const how = signaled ? 'with SIGHUP' : 'and nobody says so'
  withScript(`a node exits with 0 when its terminal is closed, ${how}`, async (t) => {
    const scene = await terminalScene(t, '')
    await until('it has begun', () => scene.stderr() !== '')
    if (signaled) process.kill(scene.command, 'SIGHUP')
    await scene.terminal.kill()
    t.deepEqual(await scene.end(), [HINT, '0'])
  })
}

withScript('a node whose terminal is closed in the midst of its replies ends without a word', async (t) => {
  const scene = await terminalScene(t, '')
  await until('it has begun', () => scene.stderr() !== '')
  const requests = Array.from({ length: 2000 }, (_, index) => request('tcp_echo_stats', index + 1))
  scene.terminal.process.stdin.write(`${[INIT, ...requests].join('\n')}\n`)
  await until('it replies', async () => (await scene.terminal.line()).includes('init_ok'))
  await scene.terminal.kill()
  const [stderr, code] = await scene.end()
  t.is(stderr, HINT)
  // 0 if it has written what it had read before the terminal was gone.
  t.true(code === '0' || code === '1', code)
})

for (const options of [[], ['--verbose'], ['--json']]) {
  test(`one signal ends serve ${options.join('')} though nobody reads its output`, async (t) => {
    const directory = await temporaryDirectory()
    t.teardown(() => directory[Symbol.dispose]())
    const pipe = join(directory.path, 'pipe')
    execFileSync('mkfifo', [pipe])
    const reader = openSync(pipe, flags.O_RDWR | flags.O_NONBLOCK)
    t.teardown(() => closeSync(reader))
    fill(reader)
    const port = await freePort()
    const command = [process.execPath, EXECUTABLE, 'serve', '--port', `${port}`, ...options]
    const server = new Child(['sh', '-c', 'out=$0; exec "$@" >"$out"', pipe, ...command])
    await until('it listens', async () => !(await isFree(port)))
    // Not by execa, which kills after five seconds what has not ended by then.
    process.kill(server.pid, 'SIGTERM')
    t.is(await server.end(), 0)
    t.is(server.stderr, '')
  })
}

const asRootWithScript = process.getuid!() === 0 || process.env['CI'] ? withScript : test.skip

// It is the terminal that changes its owner: another user may not be allowed to read this directory.
const OF_ANOTHER_USER = 'chown 65534 "$(tty)"; exec setpriv --bounding-set -dac_override,-dac_read_search'

/** So many that what a server has to say of them takes a slow reader longer than the server waits for one. */
const VISITS = 3000

async function visit(port: number): Promise<void> {
  await parallel(VISITS, 500, async () => (await Client.connect(port)).close())
}

/** A server that has more to print than the kernel keeps, and whose output nobody reads yet. */
async function unreadServer(t: ExecutionContext, command: Command): Promise<ChildProcess & { stdout: Readable }> {
  const server = spawn(...mortal(command), { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => server.kill('SIGKILL'))
  const [first] = (await once(server.stdout.setEncoding('utf8'), 'data')) as [string]
  server.stdout.pause()
  const { port } = JSON.parse(first) as { port: number }
  await visit(port)
  return server
}

/** Whether these are the lines of all connections, with the totals. */
function isComplete(output: string): boolean {
  const lines = output.trimEnd().split('\n')
  return lines.length === 2 * VISITS + 1 && lines.at(-1)!.startsWith(`{"event":"stopped","totalConnections":${VISITS},`)
}

const QUOTED = SERVE.map((word) => `"${word}"`).join(' ')
for (const [where, command] of [
  ['a pipe', SERVE],
  ['a terminal of another user', atTerminal(`${OF_ANOTHER_USER} ${QUOTED}`)],
] as const) {
  asRootWithScript(`who reads slowly gets all that serve has printed, also at its end: ${where}`, async (t) => {
    const server = await unreadServer(t, command)
    const exit = once(server, 'exit')
    const all = readSlowly(server.stdout)
    process.kill(where === 'a pipe' ? server.pid! : childrenOf(server.pid!)[0]!, 'SIGTERM')
    t.deepEqual(await exit, [0, null])
    t.true(isComplete(await all))
  })
}

test('who begins to read while serve is stopped gets all that it has printed', async (t) => {
  const server = await unreadServer(t, SERVE)
  server.kill('SIGTERM')
  await sleep(300)
  server.kill('SIGSTOP')
  const all = text(server.stdout)
  // Longer than it waits for a reader.
  await sleep(5500)
  server.kill('SIGCONT')
  t.true(isComplete(await all))
})

/** Writes to a pipe until it takes no more. */
function fill(descriptor: number): void {
  try {
    for (;;) writeSync(descriptor, Buffer.alloc(4096))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
  }
}

for (const [whose, through] of [
  ['its own', 'exec'],
  ['of another user', OF_ANOTHER_USER],
] as const) {
  asRootWithScript(`signals end a server whose terminal takes no output, ${whose}`, async (t) => {
    const scene = await terminalScene(t, 'serve --port 0', through)
    await until('it is listening', async () => (await scene.terminal.line()).includes('listening'))
    // Ctrl-S. More than one live line finds the terminal stopped.
    scene.terminal.process.stdin.write('\u0013')
    await sleep(2500)
    await until('a signal has ended it', () => {
      try {
        return !process.kill(scene.command, 'SIGTERM')
      } catch {
        return true
      }
    })
    // Ctrl-Q: the shell wants to say how it ended.
    scene.terminal.process.stdin.write('\u0011')
    const [, code] = await scene.end()
    t.is(code, '143')
  })
}

asRootWithScript('a server waits 5 s for a terminal of another user that takes no output', async (t) => {
  const scene = await terminalScene(t, 'serve --port 0', OF_ANOTHER_USER)
  await until('it is listening', async () => (await scene.terminal.line()).includes('listening'))
  scene.terminal.process.stdin.write('\u0013')
  await sleep(2500)
  process.kill(scene.command, 'SIGTERM')
  await until('it has ended', () => !existsSync(`/proc/${scene.command}`))
  scene.terminal.process.stdin.write('\u0011')
  t.deepEqual(await scene.end(), ['', '0'])
})

asRootWithScript('a terminal of another user that another program lets not block loses nothing', async (t) => {
  const [chown, setpriv] = OF_ANOTHER_USER.split('; exec ') as [string, string]
  // Killed, Node.js does not put back the mode.
  const change = "process.stdout._handle.setBlocking(false); process.kill(process.pid, 'SIGKILL')"
  const changing = `${setpriv} "${process.execPath}" -e "${change}" 2>/dev/null; echo changed`
  const terminal = new Child(atTerminal(`${chown}; ${setpriv} ${QUOTED} & read -r _; ${changing}; wait $!`))
  const { port } = await terminal.json<{ port: number }>()
  terminal.process.stdin.write('\n')
  await until('it is changed', async () => (await terminal.line()).includes('changed'))
  await visit(port)
  process.kill(childrenOf(childrenOf(terminal.pid)[0]!)[0]!, 'SIGTERM')
  let [lines, last] = [0, '']
  while (!last.startsWith('{"event":"stopped"')) [lines, last] = [lines + 1, await terminal.line()]
  t.is(lines, 2 * VISITS + 1)
  t.is(await terminal.end(), 0)
})

asRootWithScript('ping ends when its terminal of another user is closed, and nobody says so', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop())
  const args = `ping 127.0.0.1:${server.start()} --interval 50`
  const scene = await terminalScene(t, args, `${OF_ANOTHER_USER} setsid`)
  await until('a round is over', async () => (await scene.terminal.line()).includes('seq=1'))
  await scene.terminal.kill()
  t.deepEqual(await scene.end(), ['', '0'])
})

asRootWithScript('a terminal of another user is left as it was', async (t) => {
  const serve = `"${process.execPath}" "${EXECUTABLE}" serve --port 0 --json`
  const terminal = new Child(atTerminal(`(${OF_ANOTHER_USER} ${serve}); grep flags /proc/self/fdinfo/1`))
  t.like(await terminal.json(), { event: 'listening' })
  // Ctrl-C.
  terminal.process.stdin.write('\u0003')
  const last = await until('it says the flags', async () => /flags:\s*(\d+)/.exec(await terminal.line())?.[1])
  t.is(parseInt(last, 8) & flags.O_NONBLOCK, 0, last)
  await terminal.end()
})

withScript('a terminal that takes no reports holds up neither replies nor the end', async (t) => {
  const directory = await temporaryDirectory()
  t.teardown(() => directory[Symbol.dispose]())
  const pid = join(directory.path, 'pid')
  // stderr is the terminal; the requests come through a pipe, and the replies go to one.
  const lines = `(yes nonsense | head -n 5000; echo '${INIT}'; sleep 60)`
  const shown = `${lines} | (echo $BASHPID >${pid}; exec "${process.execPath}" "${EXECUTABLE}") >${directory.path}/replies`
  const terminal = new Child(atTerminal(shown))
  // Ctrl-S.
  terminal.process.stdin.write('\u0013')
  await until('it replies', () => read(join(directory.path, 'replies')).includes('init_ok'))
  const node = Number(read(pid))
  process.kill(node, 'SIGTERM')
  await until('it has ended', () => !existsSync(`/proc/${node}`))
  await terminal.kill()
  t.pass()
})

/** The command at a terminal of its own, whose end does not kill it. */
async function terminalScene(t: ExecutionContext, args: string, through = 'exec') {
  const directory = await temporaryDirectory()
  t.teardown(() => directory[Symbol.dispose]())
  const [stderr, code] = [join(directory.path, 'stderr'), join(directory.path, 'code')]
  // The shell survives the terminal, and its child has the signal that it ignores.
  const command = `"${process.execPath}" "${EXECUTABLE}" ${args} 2>${stderr}`
  const shown = `trap "" HUP; (${through} ${command}); echo $? >${code}`
  const terminal = new Child(atTerminal(shown))
  const shell = await until('the shell runs', () => childrenOf(terminal.pid)[0])
  const pid = await until('the command runs', () => childrenOf(shell)[0])
  // It outlives its terminal, and so the test if that fails.
  t.teardown(() => existsSync(`/proc/${pid}`) && process.kill(pid, 'SIGKILL'))
  const end = async (): Promise<string[]> => {
    await until('it has ended', () => read(code) !== '')
    return [read(stderr), read(code)]
  }
  return { terminal, command: pid, stderr: () => read(stderr), end }
}

function read(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
}

function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
}

/** What may make a process the first of a new process namespace; its own exit code is that of the process. */
const UNSHARE = ['unshare', '--pid', '--fork', '--kill-child']
const asRoot = process.getuid!() === 0 || process.env['CI'] ? needing('unshare') : test.skip

asRoot('a later signal ends the node as process 1, where the kernel ignores signals without a handler', async (t) => {
  const node = await stuckNode(UNSHARE)
  const exit = once(node, 'exit')
  const first = childrenOf(node.pid!)[0]!
  process.kill(first, 'SIGTERM')
  await insist(node, () => {
    try {
      process.kill(first, 'SIGTERM')
    } catch (error) {
      // It is gone, and its parent about to end.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  })
  t.deepEqual(await exit, [128 + constants.signals.SIGTERM, null])
})

needing('strace')('serve exits with 1 if the server fails, and says so', async (t) => {
  for (const json of [[], ['--json']]) {
    const server = start(['serve', '--port', '0', ...json])
    await server.line()
    const thread = await until('its I/O thread runs', () => threads(server.pid, 'echo-io')[0])
    // More events than there is room for: the bounds check of the first one past the end panics.
    const tracer = await Tracer.attach(
      thread,
      '--trace=epoll_wait',
      '--inject=?epoll_wait,?epoll_pwait:retval=1000:when=1+',
    )
    t.is(await server.end(), 1)
    await tracer.detach()
    const error = 'the server failed: index out of bounds'
    t.regex(server.stderr, new RegExp(`^echo-node: ${error}.*$`, 'm'))
    if (json.length > 0) t.true((await server.line()).startsWith(`{"event":"failed","error":"${error}`))
  }
})
