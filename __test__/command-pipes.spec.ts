// The pipe that is the command's output, and that other programs have, too.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants as flags, openSync, readFileSync, readSync } from 'node:fs'
import { join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { mortal } from '../support/children.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { freePort, isFree } from '../support/ports.ts'
import { run } from '../support/run.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { until } from '../support/wait.ts'
import { Client } from './support/clients.ts'
import { INIT, request } from './support/command.ts'
import { readSlowly } from './support/slow-reader.ts'

/** More connections than a pipe has room for the events of. */
const MANY = 500

/** A pipe that blocks, unless `extra` says otherwise, and that nobody reads. */
async function unreadPipe(t: ExecutionContext, extra = 0): Promise<number> {
  const directory = await temporaryDirectory()
  t.teardown(() => directory[Symbol.dispose]())
  const path = join(directory.path, 'pipe')
  execFileSync('mkfifo', [path])
  const pipe = openSync(path, flags.O_RDWR | extra)
  t.teardown(() => closeSync(pipe))
  return pipe
}

function blocks(pipe: number): boolean {
  const [, octal] = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${pipe}`, 'latin1'))!
  return (parseInt(octal!, 8) & flags.O_NONBLOCK) === 0
}

/** Takes bytes from a pipe that does not block, and says how many. */
function taken(pipe: number): number {
  try {
    return readSync(pipe, Buffer.alloc(10_000))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0
    throw error
  }
}

/** Starts Node.js with this pipe as its output. */
function onPipe(t: ExecutionContext, pipe: number, args: string[]) {
  // By a shell: Node.js lets the standard streams of its children block.
  const command = mortal(['sh', '-c', 'exec "$@" >&3', 'sh', process.execPath, ...args])
  const child = spawn(...command, { stdio: ['pipe', 'ignore', 'inherit', pipe] })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

test('ping leaves its output as it was', async (t) => {
  for (const extra of [0, flags.O_NONBLOCK]) {
    const pipe = await unreadPipe(t, extra)
    const ping = onPipe(t, pipe, [EXECUTABLE, 'ping', `127.0.0.1:${await freePort()}`, '--count', '1'])
    t.deepEqual(await once(ping, 'exit'), [1, null])
    t.is(blocks(pipe), extra === 0)
  }
})

test('a later stop signal leaves the output as it was', async (t) => {
  const pipe = await unreadPipe(t)
  const node = onPipe(t, pipe, [EXECUTABLE])
  // More than the pipe holds, so it cannot end by itself.
  node.stdin!.write(`${INIT}\n${request('echo', 1, { echo: 'x'.repeat(1_000_000) })}\n`)
  await until('it has the pipe', () => !blocks(pipe))
  await until('it replies', () => taken(pipe) > 1000)
  t.false(blocks(pipe))
  const again = setInterval(() => node.kill('SIGTERM'), 10)
  t.teardown(() => clearInterval(again))
  t.deepEqual(await once(node, 'exit'), [null, 'SIGTERM'])
  t.true(blocks(pipe))
})

test('a pipe that another program lets block again holds up no stop signal', async (t) => {
  const pipe = await unreadPipe(t)
  const port = await freePort()
  const other = onPipe(t, pipe, ['-e', 'process.stdout; process.stdin.resume()'])
  await until('the other one has the pipe', () => !blocks(pipe))
  const server = onPipe(t, pipe, [EXECUTABLE, 'serve', '--port', `${port}`, '--json'])
  await until('it listens', async () => !(await isFree(port)))
  other.stdin!.end()
  await once(other, 'exit')
  t.true(blocks(pipe))
  for (let count = 0; count < MANY; count++) await (await Client.connect(port)).close()
  const exit = once(server, 'exit')
  server.kill('SIGTERM')
  t.deepEqual(await exit, [0, null])
})

test('who reads stderr slowly gets all of it although stdout was read long ago', async (t) => {
  const code = `const { exit, giveUpUnread, print, report } = require(process.argv[1])
    giveUpUnread()
    print('ready')
    for (let line = 0; line < 500; line++) report('x'.repeat(1000))
    exit()`
  const command = mortal([process.execPath, '-e', code, join(EXECUTABLE, '../process.js')])
  const child = spawn(...command, { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  child.stdout.resume()
  const all = readSlowly(child.stderr)
  t.deepEqual(await once(child, 'close'), [0, null])
  t.is((await all).split('\n').length, 501)
})

test('lines beyond 8 MiB that nobody reads are left out and counted', async (t) => {
  const code = `const [writer, { exit }] = process.argv.slice(1).map(require)
    const lines = new writer.LineWriter((leftOut) => leftOut + ' left out')
    for (let line = 0; line < 20_000; line++) lines.write('x'.repeat(999))
    lines.flush()
    exit()`
  const modules = ['../line-writer.js', '../process.js'].map((path) => join(EXECUTABLE, path))
  const lines = (await run([process.execPath, '-e', code, ...modules])).split('\n')
  // The first line is written at once, others wait until they are more than so many bytes.
  const waiting = Math.floor((8 * 1024 * 1024) / 1000) + 1
  t.is(lines.length, 1 + waiting + 2)
  t.is(lines.at(-2), `${20_000 - 1 - waiting} left out`)
})
