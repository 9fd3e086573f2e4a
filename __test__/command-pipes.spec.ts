// The pipe that is the command's output, and that other programs have, too.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants as flags, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { EXECUTABLE } from '../support/paths.ts'
import { freePort, isFree } from '../support/ports.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { until } from '../support/wait.ts'
import { Client } from './support/clients.ts'

/** More connections than a pipe has room for the events of. */
const MANY = 500

/** A pipe that blocks, and that nobody reads. */
async function unreadPipe(t: ExecutionContext): Promise<number> {
  const directory = await temporaryDirectory()
  t.teardown(() => directory[Symbol.dispose]())
  const path = join(directory.path, 'pipe')
  execFileSync('mkfifo', [path])
  const pipe = openSync(path, flags.O_RDWR)
  t.teardown(() => closeSync(pipe))
  return pipe
}

function blocks(pipe: number): boolean {
  const [, octal] = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${pipe}`, 'latin1'))!
  return (parseInt(octal!, 8) & flags.O_NONBLOCK) === 0
}

/** Starts Node.js with this pipe as its output. */
function onPipe(t: ExecutionContext, pipe: number, args: string[]) {
  const child = spawn(process.execPath, args, { stdio: ['pipe', pipe, 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

test('ping leaves its output as it was', async (t) => {
  const pipe = await unreadPipe(t)
  const ping = onPipe(t, pipe, [EXECUTABLE, 'ping', `127.0.0.1:${await freePort()}`, '--count', '1'])
  t.deepEqual(await once(ping, 'exit'), [1, null])
  t.true(blocks(pipe))
})

test('a second stop signal leaves the output as it was', async (t) => {
  const pipe = await unreadPipe(t)
  const port = await freePort()
  const server = onPipe(t, pipe, [EXECUTABLE, 'serve', '--port', `${port}`, '--delay', '60s'])
  await until('it listens', async () => !(await isFree(port)))
  t.false(blocks(pipe))
  // The message holds up the stop.
  const client = await Client.connect(port)
  client.socket.write('held')
  const again = setInterval(() => server.kill('SIGTERM'), 10)
  t.teardown(() => clearInterval(again))
  t.deepEqual(await once(server, 'exit'), [null, 'SIGTERM'])
  t.true(blocks(pipe))
  await client.close()
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
