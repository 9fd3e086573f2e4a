// What the node does with its streams: pieces of lines, bounds, backpressure, the end.

import { setTimeout as delay } from 'node:timers/promises'

import test from 'ava'

import { EchoServer } from 'echo-node'
import { INIT, request } from './support/command.ts'
import { GatedServer, Lab, Output } from './support/lab.ts'
import { until } from '../support/wait.ts'

const MIB = 1024 * 1024

const send = (msgId: number, data: string): string => request('tcp_echo_send', msgId, { data })
const real = (): EchoServer => new EchoServer()

test.serial('lines may come in any pieces', async (t) => {
  const lab = new Lab(t, real)
  const start = request('tcp_echo_start', 1, { port: 0 })
  for (const byte of Buffer.from(`${INIT}\n${start}\n${send(2, 'ünïcödé')}\n`)) {
    lab.input.write(Buffer.from([byte]))
    await lab.settle()
  }
  const replies = await lab.answered(3)
  t.is(replies[2]!['echoed'], 'ünïcödé')
  await lab.close()
})

test.serial('at most 1,024 requests are taken before they are answered', async (t) => {
  const lab = await Lab.started(t, () => new GatedServer())
  const { gates } = lab.server
  lab.write(Array.from({ length: 3000 }, (_, index) => send(index + 2, `${index}`)))
  await until('as many as may are under way', () => gates.length >= 1024)
  await lab.settle()
  lab.write([send(3002, '3000')])
  await lab.settle()
  t.is(gates.length, 1024)
  t.true(lab.input.readableLength > 0)
  let released = 0
  await until('all are answered', () => {
    while (released < gates.length) gates[released++]!.resolve()
    return lab.output.count === 3003
  })
  t.true(lab.output.replies.slice(2).every((reply, index) => reply['echoed'] === `${index}`))
  await lab.close()
})

test.serial('at most 32 MiB of requests are taken before they are answered', async (t) => {
  const lab = await Lab.started(t, () => new GatedServer())
  const data = 'x'.repeat(5 * MIB)
  for (let msgId = 2; msgId < 12; msgId++) lab.write([send(msgId, data)])
  // The seventh exceeds them, and is the last.
  await until('as many as may are under way', () => lab.server.gates.length >= 7)
  await lab.settle()
  t.is(lab.server.gates.length, 7)
  let released = 0
  await until('all are answered', () => {
    while (released < lab.server.gates.length) lab.server.gates[released++]!.resolve()
    return lab.output.count === 12
  })
  t.true(lab.output.replies.slice(2).every((reply) => reply['echoed'] === data))
  await lab.close()
})

test.serial('no request is taken while the output is full', async (t) => {
  const output = new Output()
  const lab = await Lab.started(t, real, output)
  output.held = true
  lab.write([send(2, 'x'.repeat(MIB))])
  await until('its reply fills the output', () => output.writableNeedDrain)
  lab.write(Array.from({ length: 500 }, (_, index) => send(index + 3, 'more')))
  await lab.settle()
  lab.write([send(503, 'last')])
  await lab.settle()
  t.true(lab.input.readableLength > 0)
  t.is(lab.server.stats().totalConnections, 1)
  output.release()
  await lab.answered(504)
  await lab.close()
})

test.serial('the time in which nobody reads the replies does not count', async (t) => {
  const output = new Output()
  const lab = await Lab.started(t, real, output)
  output.held = true
  lab.write([send(2, 'x'.repeat(MIB))])
  await until('its reply fills the output', () => output.writableNeedDrain)
  lab.write([send(3, 'before'), send(4, 'in one piece with it')])
  await delay(2000)
  lab.write([send(5, 'meanwhile')])
  // As long as a request may take.
  await delay(2000)
  output.release()
  const replies = await lab.answered(6)
  t.deepEqual(
    replies.slice(3).map(({ echoed }) => echoed),
    ['before', 'in one piece with it', 'meanwhile'],
  )
  await lab.close()
})

test.serial('replies that are ready together go out in few writes', async (t) => {
  const lab = await Lab.started(t, real)
  const [before, begin] = [lab.output.writes, performance.now()]
  lab.write(Array.from({ length: 1000 }, (_, index) => request('tcp_echo_stats', index + 2)))
  await lab.answered(1002)
  // 1,000 of them are 120 KB. A node that the machine holds up gives up its turn every 10 ms, and writes before that.
  const turns = Math.floor((performance.now() - begin) / 10)
  t.true(lab.output.writes - before <= 3 + turns)
  await lab.close()
})

test.serial('at the end of its input it finishes what was asked, and stops its servers', async (t) => {
  const lab = await Lab.started(t, () => new GatedServer())
  lab.write([send(2, 'last')])
  lab.input.end()
  await until('it is under way', () => lab.server.gates.length === 1)
  await lab.settle()
  t.true(lab.server.listening)
  lab.server.gates[0]!.resolve()
  await lab.ended
  t.is(lab.output.replies[2]!['echoed'], 'last')
  t.false(lab.server.listening)
})

test.serial('a last line without a newline is a line', async (t) => {
  const lab = new Lab(t, real)
  lab.input.end(INIT)
  await lab.ended
  t.is(lab.output.replies.length, 1)
})

test.serial('stop takes no more input, and finishes what was asked', async (t) => {
  const lab = await Lab.started(t, () => new GatedServer())
  lab.write([send(2, 'asked')])
  await until('it is under way', () => lab.server.gates.length === 1)
  lab.node.stop()
  lab.write([send(3, 'too late')])
  await lab.settle()
  lab.server.gates[0]!.resolve()
  await lab.ended
  t.is(lab.output.replies.length, 3)
  t.true(lab.input.destroyed)
})

test.serial('stop answers what was read before', async (t) => {
  const lab = await Lab.started(t, () => new GatedServer())
  const { gates } = lab.server
  lab.write(Array.from({ length: 2000 }, (_, index) => send(index + 2, 'read')))
  lab.input.write('{"half a line')
  await until('there is room for no more', () => gates.length === 1024)
  lab.node.stop()
  let released = 0
  await until('all are answered', () => {
    while (released < gates.length) gates[released++]!.resolve()
    return lab.output.count === 2002
  })
  await lab.ended
  t.true(lab.output.replies.slice(2).every((reply) => reply['echoed'] === 'read'))
  t.deepEqual(lab.reports, [])
})

test.serial('many short lines leave everything else its turn', async (t) => {
  const lab = await Lab.started(t, real)
  let turns = 0
  const ticks = setInterval(() => turns++, 1)
  lab.write(['y\n'.repeat(200_000), request('tcp_echo_stats', 2)])
  await lab.answered(3)
  clearInterval(ticks)
  // They take half a second and more.
  t.true(turns > 10, `${turns} turns`)
  t.is(lab.reports.length, 200_001)
  await lab.close()
})

test.serial('an error of its input takes nothing from what was read before', async (t) => {
  const lab = await Lab.started(t, () => new GatedServer())
  const { gates } = lab.server
  lab.write(Array.from({ length: 1024 }, (_, index) => send(index + 2, 'first')))
  await until('there is room for no more', () => gates.length === 1024)
  lab.write([send(1026, 'read ahead')])
  lab.input.write('{"half a line')
  await lab.settle()
  lab.input.destroy(new Error('read EIO'))
  await lab.settle()
  let released = 0
  await until('all are answered', () => {
    while (released < gates.length) gates[released++]!.resolve()
    return lab.output.count === 1027
  })
  await t.throwsAsync(lab.ended, { message: 'cannot read requests: read EIO' })
  t.is(lab.output.replies.at(-1)!['echoed'], 'read ahead')
  t.deepEqual(lab.reports, [])
})

test.serial('it ends with the error of its output', async (t) => {
  const lab = await Lab.started(t, real)
  lab.output.destroy(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
  await t.throwsAsync(lab.ended, { code: 'EPIPE' })
  t.false(lab.server.listening)
  t.true(lab.input.destroyed)
})

test.serial('a line without end is given up at 16 MiB, and the next line is answered', async (t) => {
  const lab = await Lab.started(t, real)
  const piece = Buffer.alloc(MIB, 'x')
  for (let count = 0; count < 40; count++) {
    lab.input.write(piece)
    await until('it is read', () => lab.input.readableLength === 0)
  }
  t.deepEqual(lab.reports, ['skipped a line of more than 16777216 bytes'])
  lab.write(['', request('tcp_echo_stats', 2)])
  await lab.answered(3)
  await lab.close()
  t.is(lab.reports.length, 1)
})
