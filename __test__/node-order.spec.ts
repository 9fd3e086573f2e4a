// The order of replies, and their deadline in real time.

import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'

import test from 'ava'

import { killAll } from '../support/children.ts'
import { INIT, request, start } from './support/command.ts'
import { GatedServer, Lab, Output } from './support/lab.ts'
import { until } from '../support/wait.ts'

test.after.always(killAll)

const LATE = { type: 'error', code: 0, text: 'not done within 3.5 s' }
/** Milliseconds from reading a request to its reply, as the node promises. */
const PROMISE = 4000

const send = (msgId: number, data = `data ${msgId}`): string => request('tcp_echo_send', msgId, { data })
const stats = (msgId: number): string => request('tcp_echo_stats', msgId)
const gated = (): Promise<Lab<GatedServer>> => Lab.started(() => new GatedServer())

test('replies leave in the order of the requests, whatever is done first', async (t) => {
  const lab = await gated()
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
  const lab = await gated()
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
  const lab = await gated()
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

test('the deadline counts from the reading of the request, not from the start of its work', async (t) => {
  const lab = await gated()
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

/** An input that notes when each chunk is taken from it. */
class TimedInput extends PassThrough {
  readonly takenAt: number[] = []

  override async *[Symbol.asyncIterator](): NodeJS.AsyncIterator<Buffer> {
    for await (const chunk of super[Symbol.asyncIterator]()) {
      const lines = (chunk as Buffer).toString().split('\n').length - 1
      this.takenAt.push(...Array.from({ length: lines }, () => performance.now()))
      yield chunk as Buffer
    }
  }
}

test('each of 3,000 requests that nobody serves is answered within 4 s of being read', async (t) => {
  const [input, output] = [new TimedInput(), new Output()]
  const leftAt: number[] = []
  output.onReply = () => leftAt.push(performance.now())
  const lab = await Lab.started(() => new GatedServer(), output, input)
  for (let first = 2; first < 3002; first += 100) {
    lab.write(Array.from({ length: 100 }, (_, index) => send(first + index)))
  }
  await until('all are answered', () => output.count === 3002)
  const times = leftAt.map((left, index) => left - input.takenAt[index]!)
  t.log(`the longest took ${Math.max(...times)} ms`)
  t.true(Math.max(...times) < PROMISE)
  t.true(output.replies.slice(2).every(({ code }) => code === 0))
  for (const gate of lab.server.gates) gate.resolve()
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
  const lab = await gated()
  const silent = JSON.stringify({ src: 'c1', dest: 'n1', body: { type: 'tcp_echo_send', data: 'abc' } })
  lab.write([silent, stats(2)])
  await until('it is under way', () => lab.server.gates.length === 1)
  lab.server.gates[0]!.resolve()
  const replies = await lab.answered(3)
  t.is(replies[2]!['total_bytes'], 3)
  t.is(replies[2]!['msg_id'], 2)
  await lab.close()
})
