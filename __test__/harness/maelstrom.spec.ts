// The node under Maelstrom's rules, without Maelstrom itself.

import { isDeepStrictEqual } from 'node:util'

import test, { type ExecutionContext } from 'ava'
import { constantFrom, jsonValue, sample, string } from 'fast-check'

import { Network, type Client, type Outcome } from './network.ts'
import { readReply } from './schema.ts'

const MIB = 1024 * 1024

/** Runs the clients at the same time, each as often, and requires what Maelstrom requires. */
async function workload(
  t: ExecutionContext,
  setup: { nodes: number; clients: number; rounds: number },
  round: (client: Client, node: string, number: number) => Promise<Outcome>,
): Promise<void> {
  const network = await Network.start(setup.nodes)
  t.teardown(() => network.kill())
  const nodes = [...network.nodes.keys()]
  const clients = Array.from({ length: setup.clients }, (_, index) => network.client(`c${setup.nodes + index}`))
  const outcomes = await Promise.all(
    clients.map(async (client, index) => {
      const own: Outcome[] = []
      for (let number = 0; number < setup.rounds; number++) {
        own.push(await round(client, nodes[index % nodes.length]!, number))
      }
      return own
    }),
  )
  t.deepEqual(network.violations, [])
  const bad = outcomes.flat().filter(({ kind }) => kind !== 'ok')
  t.deepEqual(bad.slice(0, 3), [])
  t.is(outcomes.flat().length, setup.clients * setup.rounds)
}

for (const nodes of [1, 3, 5]) {
  test.serial(`the stock echo workload at ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`, async (t) => {
    await workload(t, { nodes, clients: 2 * nodes, rounds: 200 }, async (client, node, number) => {
      const echo = `Please echo ${number % 128}`
      const outcome = await client.ask(node, { type: 'echo', echo })
      t.deepEqual(Object.keys(outcome.body).toSorted(), ['echo', 'in_reply_to', 'msg_id', 'type'])
      t.is(outcome.body['echo'], echo)
      return outcome
    })
  })
}

test.serial('echo of any JSON', async (t) => {
  const values = sample(jsonValue({ maxDepth: 20, stringUnit: 'grapheme' }), 500)
  await workload(t, { nodes: 2, clients: 4, rounds: values.length / 4 }, async (client, node) => {
    const echo = values.pop()!
    const outcome = await client.ask(node, { type: 'echo', echo })
    // As JSON: -0 is written 0.
    t.true(isDeepStrictEqual(outcome.body['echo'], JSON.parse(JSON.stringify(echo))))
    return outcome
  })
})

test.serial('random payloads come back byte for byte, and the counters are exact', async (t) => {
  const network = await Network.start(2)
  t.teardown(() => network.kill())
  const small = [
    ...sample(string({ unit: 'binary', maxLength: 200 }), 300),
    ...sample(string({ unit: constantFrom('"', '\\', '\n', '\0', '\u007f', 'é', '世', '🌍') }), 100),
    '',
  ]
  const large = ['x'.repeat(5 * MIB), '\0'.repeat(MIB), '世界'.repeat(MIB / 2)]
  const clients = Array.from({ length: 8 }, (_, index) => network.client(`c${2 + index}`))
  for (const node of network.nodes.keys()) {
    const sendAll = async (client: Client, queue: string[]): Promise<void> => {
      for (let data = queue.pop(); data !== undefined; data = queue.pop()) {
        const { body } = await client.ask(node, { type: 'tcp_echo_send', data })
        t.true(body['echoed'] === data, `${JSON.stringify(data.slice(0, 50))}: ${JSON.stringify(body).slice(0, 200)}`)
        t.is(body['bytes'], Buffer.byteLength(data))
      }
    }
    t.is((await clients[0]!.ask(node, { type: 'tcp_echo_start', port: 0 })).kind, 'ok')
    // One at a time: what a busy machine takes for all of them together may be more than a client waits.
    await sendAll(clients[0]!, [...large])
    const queue = [...small]
    await Promise.all(clients.map((client) => sendAll(client, queue)))
    const { body } = await clients[0]!.ask(node, { type: 'tcp_echo_stats' })
    t.is(body['total_connections'], small.length + large.length)
    t.is(body['total_bytes'], Buffer.byteLength([...small, ...large].join('')))
  }
  t.deepEqual(network.violations, [])
})

test('the harness accepts what Maelstrom accepts, and nothing else', (t) => {
  const good = { src: 'n1', dest: 'c1', body: { type: 'echo_ok', in_reply_to: 1, echo: null, msg_id: 0 } }
  const { body } = good
  t.notThrows(() => readReply(JSON.stringify(good)))
  t.notThrows(() => readReply(JSON.stringify({ id: 5, ...good })))
  const bad: unknown[] = [
    { ...good, more: 1 },
    { ...good, id: '5' },
    { src: 'n1', body },
    { ...good, body: { ...body, extra: 1 } },
    { ...good, body: { ...body, in_reply_to: '1' } },
    { ...good, body: { ...body, type: 'other' } },
    { ...good, body: { type: 'echo_ok', in_reply_to: 1, msg_id: 0 } },
    { ...good, body: { ...body, type: 'error', code: 1.5, text: '' } },
  ]
  for (const message of bad) t.throws(() => readReply(JSON.stringify(message)), undefined, JSON.stringify(message))
  for (const line of ['', 'log', '[]', 'null']) t.throws(() => readReply(line), undefined, line)
})

test('the harness hears nothing more from a node that breaks a rule, and gives up a client that gets no reply', async (t) => {
  // Answers init in order, the first echo with a line of log before it, the second not at all.
  const rogue = `
    const reply = (src, body) => console.log(JSON.stringify({ src: 'n0', dest: src, body: { ...body, msg_id: 0 } }))
    require('node:readline').createInterface(process.stdin).on('line', (line) => {
      const { src, body: { type, msg_id, echo } } = JSON.parse(line)
      if (type === 'echo') console.log('debug')
      reply(src, { type: type + '_ok', in_reply_to: msg_id, echo })
    })`
  const network = await Network.start(1, [process.execPath, '-e', rogue])
  t.teardown(() => network.kill())
  const client = network.client('c1')
  t.is((await client.ask('n0', { type: 'echo', echo: 1 })).kind, 'info')
  t.true(client.closed)
  t.is(network.violations.length, 1)
  t.regex(network.violations[0]!, /^n0: Unexpected token.*debug/)
})
