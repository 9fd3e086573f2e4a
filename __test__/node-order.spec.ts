// The order of replies, and their deadline in real time.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { MessageChannel } from 'node:worker_threads'

import test, { type ExecutionContext } from 'ava'
import { EchoServer, type Echo } from 'echo-node'

import { killAll } from '../support/children.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { bodies, INIT, request, start } from './support/command.ts'
import { GatedServer, Lab } from './support/lab.ts'
import { threads } from '../support/proc.ts'
import { fail, Tracer } from '../support/strace.ts'
import { needing } from './support/tools.ts'
import { until } from '../support/wait.ts'

test.after.always(killAll)

const LATE = { type: 'error', code: 0, text: 'not done within 3.5 s' }
/** Milliseconds from reading a request to its reply, as the node promises. */
const PROMISE = 4000

/** What Maelstrom's clients wait for a reply. */
const PATIENCE = 5000

const send = (msgId: number, data = `data ${msgId}`): string => request('tcp_echo_send', msgId, { data })
const stats = (msgId: number): string => request('tcp_echo_stats', msgId)
const gated = (t: ExecutionContext): Promise<Lab<GatedServer>> => Lab.started(t, () => new GatedServer())

test('replies leave in the order of the requests, whatever is done first', async (t) => {
  const lab = await gated(t)
  lab.write([send(2), send(3), send(4)])
  await until('all three are under way', () => lab.server.gates.length === 3)
  lab.server.gates[2]!.resolve()
  lab.server.gates[1]!.resolve()
  await until('two are echoed', () => lab.server.stats().totalConnections === 2)
  await lab.settle()
  t.is(lab.output.replies.length, 2)
  lab.server.gates[0]!.resolve()
  const replies = await lab.answered(5)
  t.deepEqual(
    replies.map((reply) => [reply['in_reply_to'], reply['msg_id']]),
    [0, 1, 2, 3, 4].map((number) => [number, number]),
  )
  await lab.close()
})

test('stats waits for every earlier send, and no later one starts before it', async (t) => {
  const lab = await gated(t)
  lab.write([send(2), send(3), stats(4), send(5), stats(6)])
  await until('two sends are under way', () => lab.server.gates.length === 2)
  await lab.settle()
  t.is(lab.server.gates.length, 2)
  for (const gate of lab.server.gates) gate.resolve()
  await until('the third send is under way', () => lab.server.gates.length === 3)
  lab.server.gates[2]!.resolve()
  const replies = await lab.answered(7)
  t.deepEqual(
    replies.slice(4).map((reply) => reply['total_connections'] ?? reply['echoed']),
    [2, 'data 5', 3],
  )
  await lab.close()
})

test('a send that does not come back is answered with code 0 within 4 s, and what comes later is dropped', async (t) => {
  const lab = await gated(t)
  const begin = performance.now()
  lab.write([send(2)])
  t.deepEqual((await lab.answered(3))[2], { ...LATE, in_reply_to: 2, msg_id: 2 })
  const elapsed = performance.now() - begin
  t.true(elapsed > 3400 && elapsed < PROMISE, `${elapsed} ms`)
  lab.server.gates[0]!.resolve()
  await until('its data is echoed after all', () => lab.server.stats().totalConnections === 1)
  lab.write([stats(3)])
  const replies = await lab.answered(4)
  t.like(replies[3], { type: 'tcp_echo_stats_ok', in_reply_to: 3, total_bytes: 6, msg_id: 3 })
  await lab.close()
  t.is(lab.output.replies.length, 4)
})

test('what is read ahead has its time from then on, also where two reads are taken together', async (t) => {
  const lab = await gated(t)
  lab.write(Array.from({ length: 1024 }, (_, index) => send(index + 2)))
  await until('there is room for no more', () => lab.server.gates.length === 1024)
  const begin = performance.now()
  lab.write([send(1026)])
  await lab.settle()
  await sleep(500)
  lab.write([send(1027)])
  const replies = await lab.answered(1028)
  t.true(performance.now() - begin < PATIENCE)
  t.like(replies.at(-1), LATE)
  await lab.close()
})

test('a last line without a newline has its time from the end of the input on', async (t) => {
  const lab = await gated(t)
  lab.input.write(send(2))
  await sleep(4000)
  lab.input.end()
  await until('it is under way', () => lab.server.gates.length === 1)
  lab.server.gates[0]!.resolve()
  await lab.ended
  t.is(lab.output.replies[2]!['echoed'], 'data 2')
})

test('the deadline counts from the reading of the request, not from the start of its work', async (t) => {
  const lab = await gated(t)
  lab.write([send(2)])
  await sleep(1000)
  // Neither can start: the first send is still under way.
  const begin = performance.now()
  lab.write([stats(3), send(4)])
  await until('the second send is under way', () => lab.server.gates.length === 2)
  t.deepEqual(
    (await lab.answered(4)).slice(2).map((reply) => reply['type']),
    ['error', 'tcp_echo_stats_ok'],
  )
  t.deepEqual((await lab.answered(5))[4], { ...LATE, in_reply_to: 4, msg_id: 4 })
  t.true(performance.now() - begin < PROMISE)
  for (const gate of lab.server.gates) gate.resolve()
  await lab.close()
})

/** When each request was read from stdin, given a trace of read(2) with times since 1970, in milliseconds. */
function timesOfReading(trace: string, requests: string[]): number[] {
  const reads = trace.matchAll(/^(\d+\.\d+) read\(0, .* = ([1-9]\d*)$/gm)
  const times: number[] = []
  let [bytesRead, end] = [0, requests[0]!.length]
  for (const [, time, length] of reads) {
    bytesRead += Number(length)
    for (; end <= bytesRead && times.length < requests.length; end += requests[times.length]?.length ?? 0) {
      times.push(Number(time) * 1000)
    }
  }
  return times
}

needing('strace')('each of 3,000 requests that nobody serves is answered in time, counted from its read', async (t) => {
  const node = spawn(process.execPath, [EXECUTABLE], { timeout: 60_000, killSignal: 'SIGKILL' })
  const pid = node.pid!
  let replies = ''
  const leftAt: number[] = []
  node.stdout.on('data', (some: Buffer) => {
    const [now, text] = [performance.timeOrigin + performance.now(), some.toString()]
    replies += text
    leftAt.push(...Array.from({ length: text.split('\n').length - 1 }, () => now))
  })
  node.stdin.write(`${INIT}\n${request('tcp_echo_start', 1, { port: 0 })}\n`)
  const thread = await until('its I/O thread runs', () => threads(pid, 'echo-io')[0])
  await until('it has started', () => leftAt.length === 2)
  await fail(thread, 'accept4', 'EMFILE', '1+')
  const tracer = await Tracer.attach(pid, '-ttt', '--trace=read')
  const requests = Array.from({ length: 3000 }, (_, index) => `${send(index + 2)}\n`)
  node.stdin.write(requests.join(''))
  await until('all are answered', () => leftAt.length === requests.length + 2)
  t.true(
    bodies(replies)
      .slice(2)
      .every(({ code }) => code === 0),
  )
  node.kill('SIGKILL')
  await tracer.end()
  const readAt = timesOfReading(tracer.trace, requests)
  t.is(readAt.length, requests.length)
  const slowest = Math.max(...leftAt.slice(2).map((left, index) => left - readAt[index]!))
  t.log(`the longest took ${Math.round(slowest)} ms`)
  // Beside other tests the processors may not be there in time for what the node promises.
  t.true(slowest < PATIENCE)
})

/** A server whose send is over as soon as a message comes from elsewhere. */
class ToldServer extends EchoServer {
  readonly #told = new MessageChannel()
  #isUnderWay = false

  override send(data: string): Promise<Echo<string>>
  override send(data: Uint8Array): Promise<Echo<Buffer>>
  override async send(data: string | Uint8Array): Promise<Echo<string | Buffer>> {
    this.#isUnderWay = true
    await once(this.#told.port2, 'message')
    this.#told.port1.close()
    return { echoed: data as string, bytes: data.length }
  }

  /** Lets the message come while the process is held up for so many milliseconds: timers run before it is heard. */
  async tellAndHoldUp(time: number): Promise<void> {
    await until('the send is under way', () => this.#isUnderWay)
    await turn()
    this.#told.port1.postMessage('over')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, time)
  }
}

// Serial, for it holds up the others, too.
test.serial('what has come back while the process was held up is answered', async (t) => {
  const lab = await Lab.started(t, () => new ToldServer())
  lab.write([send(2)])
  await lab.server.tellAndHoldUp(3600)
  t.like((await lab.answered(3)).at(-1), { type: 'tcp_echo_send_ok', echoed: 'data 2' })
  await lab.close()
})

test('no timer is left of a request that was answered', async (t) => {
  const node = start()
  for (const line of [INIT, request('tcp_echo_start', 1, { port: 0 }), send(2)]) await node.ask(line)
  const begin = performance.now()
  node.process.stdin.end()
  t.is(await node.end(), 0)
  t.true(performance.now() - begin < 3000)
})

test('a request without msg_id is carried out in its turn, and not answered', async (t) => {
  const lab = await gated(t)
  const silent = JSON.stringify({ src: 'c1', dest: 'n1', body: { type: 'tcp_echo_send', data: 'abc' } })
  lab.write([silent, stats(2)])
  await until('it is under way', () => lab.server.gates.length === 1)
  lab.server.gates[0]!.resolve()
  const replies = await lab.answered(3)
  t.is(replies[2]!['total_bytes'], 3)
  t.is(replies[2]!['msg_id'], 2)
  await lab.close()
})
