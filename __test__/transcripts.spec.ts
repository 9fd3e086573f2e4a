// The transcripts name port 8080, so everything that listens on it stands here, one after the other.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { text } from 'node:stream/consumers'

import test from 'ava'

import { EXECUTABLE } from '../support/paths.ts'
import { until, within } from '../support/wait.ts'
import { bodies, run, runScript } from './support/command.ts'

const REQUESTS = new URL('../examples/requests.jsonl', import.meta.url)
const NAMES = ['start', 'echo', 'stats']

/** Listens on the port, if nobody does. */
async function listenOn(host: string): Promise<Server | undefined> {
  const server = createServer()
  const listening = await new Promise<boolean>((resolve) => {
    server.on('error', () => resolve(false)).listen(8080, host, () => resolve(true))
  })
  return listening ? server : undefined
}

// Whoever runs these tests on this machine at the same time waits: the same port of another address is the token.
test.before(async () => {
  const token = await until('no other run of these tests has the port', () => listenOn('127.0.0.3'), 100_000)
  token.unref()
})

const read = (name: string): Promise<string> => readFile(new URL(`transcripts/${name}`, import.meta.url), 'utf8')

/** The node's stdout when its input comes in these pieces, each in a write of its own. */
async function feed(pieces: Iterable<string>): Promise<string> {
  const node = spawn(process.execPath, [EXECUTABLE], { stdio: ['pipe', 'pipe', 'inherit'], timeout: 60_000 })
  const output = text(node.stdout)
  for (const piece of pieces) {
    await new Promise((written) => node.stdin.write(piece, written))
  }
  node.stdin.end()
  await within('the end of the node', once(node, 'exit'))
  return output
}

for (const name of NAMES) {
  test.serial(`${name}: all lines in one write`, async (t) => {
    const { code, stdout, stderr } = await run([], await read(`${name}.jsonl`))
    t.is(stdout, await read(`${name}.expected`))
    t.is(stderr, '')
    t.is(code, 0)
  })

  test.serial(`${name}: byte by byte`, async (t) => {
    t.is(await feed(await read(`${name}.jsonl`)), await read(`${name}.expected`))
  })

  test.serial(`${name}: with CRLF, and no newline at the end`, async (t) => {
    const lines = (await read(`${name}.jsonl`)).trimEnd().replaceAll('\n', '\r\n')
    const { stdout } = await run([], lines)
    t.is(stdout, await read(`${name}.expected`))
  })
}

test.serial('a port that is taken is error 11, and the node goes on', async (t) => {
  const squatter = (await listenOn('127.0.0.1'))!
  const { code, stdout } = await run([], await read('stats.jsonl'))
  squatter.close()
  t.is(code, 0)
  t.deepEqual(bodies(stdout), [
    { type: 'init_ok', in_reply_to: 1, msg_id: 0 },
    { type: 'error', in_reply_to: 2, code: 11, text: 'port 8080 is already in use', msg_id: 1 },
    {
      type: 'error',
      in_reply_to: 3,
      code: 22,
      text: 'the server is not listening: start it before sending',
      msg_id: 2,
    },
    { type: 'tcp_echo_stats_ok', in_reply_to: 4, total_connections: 0, total_bytes: 0, msg_id: 3 },
  ])
  t.true(
    stdout.includes(
      '{"type": "error", "in_reply_to": 2, "code": 11, "text": "port 8080 is already in use", "msg_id": 1}',
    ),
  )
})

test.serial('npm run demo shows each request with its reply', async (t) => {
  const { code, stdout } = await runScript('scripts/demo.ts')
  t.is(code, 0)
  const lines = stdout.split('\n')
  const shown = (word: string): string => lines.filter((line) => line.startsWith(word)).join('\n')
  t.is(shown('request').replaceAll(/^request +/gm, ''), (await readFile(REQUESTS, 'utf8')).trimEnd())
  t.is(shown('reply').match(/_ok"/g)?.length, 5)
  t.true(shown('reply').includes((await read('stats.expected')).trimEnd().split('\n').at(-1)!))
})

test.serial('npm run demo takes another port where 8080 is in use', async (t) => {
  const squatter = (await listenOn('127.0.0.1'))!
  const { code, stdout, stderr } = await runScript('scripts/demo.ts')
  squatter.close()
  t.is(code, 0, stderr)
  const port = /^port 8080 is in use: the demo takes port (\d+)$/m.exec(stdout)?.[1]
  t.true(stdout.includes(`"status": "listening", "port": ${port},`), stdout)
  t.is(stdout.match(/^reply .*_ok"/gm)?.length, 5)
})

test.serial('npm run demo fails when the node does', async (t) => {
  const noEngine =
    "process.argv[1].endsWith('echo-node.js') && (process.dlopen = () => { throw new Error('no engine') })"
  const preload = `--import=data:text/javascript,${encodeURIComponent(noEngine)}`
  const { code, stdout, stderr } = await runScript('scripts/demo.ts', { env: { NODE_OPTIONS: preload } })
  t.is(code, 1, stdout)
  t.regex(stderr, /^the demo failed: .*no engine/ms)
})
