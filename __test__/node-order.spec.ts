// The order of replies and their deadline, with a clock that only the test moves.

import test from 'ava'

import { request } from './support/command.ts'
import { GatedServer, Lab } from './support/lab.ts'
import { until } from './support/wait.ts'

const LATE = { type: 'error', code: 0, text: 'not done within 4 s' }

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

test('a send that does not come back is answered with code 0 at 4 s, and what comes later is dropped', async (t) => {
  const lab = await gated()
  lab.write([send(2)])
  await until('it is under way', () => lab.server.gates.length === 1)
  lab.clock.advance(3999)
  await lab.settle()
  t.is(lab.output.replies.length, 2)
  lab.clock.advance(1)
  t.deepEqual((await lab.answered(3))[2], { ...LATE, in_reply_to: 2, msg_id: 2 })
  lab.server.gates[0]!.resolve()
  await until('its data is echoed after all', () => lab.server.stats().totalConnections === 1)
  lab.write([stats(3)])
  const replies = await lab.answered(4)
  t.deepEqual(replies[3], {
    type: 'tcp_echo_stats_ok',
    in_reply_to: 3,
    total_connections: 1,
    total_bytes: 6,
    msg_id: 3,
  })
  await lab.close()
  t.is(lab.output.replies.length, 4)
})

test('the deadline counts from the arrival of the line, not from the start of the work', async (t) => {
  const lab = await gated()
  lab.write([send(2)])
  lab.clock.advance(1000)
  // Neither can start: the first send is still out.
  lab.write([stats(3), send(4)])
  await lab.settle()
  lab.clock.advance(3000)
  // At 4 s the first is late; stats answers; the second send has a second left.
  await until('the second send is under way', () => lab.server.gates.length === 2)
  t.deepEqual(
    (await lab.answered(4)).slice(2).map((reply) => reply['type']),
    ['error', 'tcp_echo_stats_ok'],
  )
  lab.clock.advance(1000)
  t.deepEqual((await lab.answered(5))[4], { ...LATE, in_reply_to: 4, msg_id: 4 })
  for (const gate of lab.server.gates) gate.resolve()
  await lab.close()
})

test('a send whose time ran out in the queue is not begun', async (t) => {
  const lab = await gated()
  lab.write([send(2), stats(3), send(4)])
  await lab.settle()
  lab.clock.advance(4000)
  const replies = await lab.answered(5)
  t.deepEqual(
    replies.slice(2).map((reply) => reply['code'] ?? reply['type']),
    [0, 'tcp_echo_stats_ok', 0],
  )
  t.is(lab.server.gates.length, 1)
  lab.server.gates[0]!.resolve()
  await lab.close()
})

test('one timer runs, however many requests wait, and none when nothing does', async (t) => {
  const lab = await gated()
  lab.write(Array.from({ length: 100 }, (_, index) => send(index + 2)))
  await until('all are under way', () => lab.server.gates.length === 100)
  t.is(lab.clock.timers.size, 1)
  for (const gate of lab.server.gates) gate.resolve()
  await lab.answered(102)
  await lab.close()
  t.is(lab.clock.timers.size, 0)
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
