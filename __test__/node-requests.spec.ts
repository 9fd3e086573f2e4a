// What each request is answered, and what each bad one: against the executable.

import { readFileSync } from 'node:fs'

import test from 'ava'

import { bodies, converse, INIT, request, run } from './support/command.ts'
import { freePort } from '../support/ports.ts'

const SPLIT = '\ud83d'

const start = (msgId: number, port: unknown): string => request('tcp_echo_start', msgId, { port })
const send = (msgId: number, data: unknown): string => request('tcp_echo_send', msgId, { data })
const init = (msgId: number, fields: Record<string, unknown>): string => request('init', msgId, fields)
const echo = (msgId: number, json: string): string =>
  `{"src":"c1","dest":"n1","body":{"type":"echo","msg_id":${msgId},"echo":${json}}}`

/** Type and port, or code and text: the part of a reply that tells what happened. */
function gist(reply: Record<string, unknown>): unknown[] {
  return reply['type'] === 'error' ? [reply['code'], reply['text']] : [reply['type'], reply['port']]
}

test('a port is started once, and named again when it is asked for again', async (t) => {
  const port = await freePort()
  const replies = await converse([INIT, start(1, port), start(2, port), start(3, 0), start(4, port + 1)])
  t.deepEqual(replies.slice(1).map(gist), [
    ['tcp_echo_start_ok', port],
    ['tcp_echo_start_ok', port],
    ['tcp_echo_start_ok', port],
    [22, `the server is already listening on 127.0.0.1:${port}`],
  ])
})

test('port 0 is any port, and stays that', async (t) => {
  const [, first, second] = await converse([INIT, start(1, 0), start(2, 0)])
  t.true((first!['port'] as number) > 0)
  t.is(second!['port'], first!['port'])
})

test('a bad port is error 12', async (t) => {
  const bad = [-1, 65_536, 1.5, '8080', null, [], {}, true]
  const replies = await converse([
    INIT,
    ...bad.map((port, index) => start(index + 1, port)),
    request('tcp_echo_start', 9),
  ])
  const shown = ['-1', '65536', '1.5', "'8080'", 'null', '[]', '{}', 'true']
  t.deepEqual(replies.slice(1).map(gist), [
    ...shown.map((value) => [12, `port must be an integer from 0 to 65535, got ${value}`]),
    [12, 'port is missing'],
  ])
})

const anyPortIsFree = readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8').trim() === '0'

;(anyPortIsFree ? test.skip : test)('a port that may not be listened on is error 14', async (t) => {
  // What root may do besides, its children have to be denied.
  const unprivileged = process.getuid!() === 0 ? ['setpriv', '--bounding-set', '-net_bind_service'] : []
  const { stdout } = await run([], `${INIT}\n${start(1, 1)}\n`, unprivileged)
  t.deepEqual(bodies(stdout).slice(1).map(gist), [[14, 'listening on port 1 is not permitted']])
})

test('what is sent comes back, with its length in UTF-8', async (t) => {
  const data = [
    '',
    'hello world',
    '"\\/\b\f\n\r\t\u0000\u001f',
    'grüße, 世界 🌍 \u2028\ufffd\ufeff',
    'x'.repeat(200_000),
  ]
  const replies = await converse([
    INIT,
    start(1, 0),
    ...data.map((text, index) => send(index + 2, text)),
    request('tcp_echo_stats', 9),
  ])
  const sent = replies.slice(2, -1)
  t.deepEqual(
    sent.map((reply) => reply['echoed']),
    data,
  )
  const bytes = data.map((text) => Buffer.byteLength(text))
  t.deepEqual(
    sent.map((reply) => reply['bytes']),
    bytes,
  )
  t.is(replies.at(-1)!['total_connections'], data.length)
  t.is(
    replies.at(-1)!['total_bytes'],
    bytes.reduce((sum, count) => sum + count),
  )
})

test('what cannot be sent is error 12', async (t) => {
  const replies = await converse([
    INIT,
    start(1, 0),
    send(2, 5),
    request('tcp_echo_send', 3),
    send(4, `a${SPLIT}b`),
    request('tcp_echo_stats', 5),
  ])
  t.deepEqual(replies.slice(2, 5).map(gist), [
    [12, 'data must be a string or a Uint8Array, got 5'],
    [12, 'data is missing'],
    // Node.js 22 and later show the surrogate with capital letters.
    [12, replies[4]!['text']],
  ])
  t.regex(String(replies[4]!['text']), /^data must be well-formed Unicode, without lone surrogates, got 'a\\ud83db'$/i)
  t.is(replies[5]!['total_connections'], 0)
})

test('before start a send is error 22, and stats are zero', async (t) => {
  const replies = await converse([INIT, send(1, 'hello'), request('tcp_echo_stats', 2)])
  t.deepEqual(gist(replies[1]!), [22, 'the server is not listening: start it before sending'])
  t.like(replies[2], { total_connections: 0, total_bytes: 0 })
})

test('echo answers with the value as it came, and leaves port and counters alone', async (t) => {
  const values: [string, string][] = [
    ['"Please echo 35"', '"Please echo 35"'],
    ['null', 'null'],
    ['""', '""'],
    ['{ "b" : [ 1,2 , {"a":[]} ] , "__proto__":{"x":1} }', '{"b": [1, 2, {"a": []}], "__proto__": {"x": 1}}'],
    ['[12345678901234567890,1e400,-0,1.0,0.10]', '[12345678901234567890, 1e400, -0, 1.0, 0.10]'],
    ['"a, b: [c]\\u00e9\\/\\ud83d"', '"a, b: [c]é/\\ud83d"'],
    ['"世界 🌍"', '"世界 🌍"'],
  ]
  const lines = values.map(([value], index) => echo(index + 1, value))
  const { stdout } = await run([], [INIT, ...lines, request('tcp_echo_stats', 50), start(51, 0)].join('\n'))
  const replies = stdout.split('\n').slice(1, -1)
  values.forEach(([, expected], index) => {
    const body = `{"type": "echo_ok", "in_reply_to": ${index + 1}, "echo": ${expected}, "msg_id": ${index + 1}}`
    t.is(replies[index], `{"src": "n1", "dest": "c1", "body": ${body}}`)
  })
  t.like(bodies(stdout).at(-2), { type: 'tcp_echo_stats_ok', total_connections: 0, total_bytes: 0 })
  t.is(bodies(stdout).at(-1)!['type'], 'tcp_echo_start_ok')
})

test('of members with the same name the last one counts', async (t) => {
  const line = '{"body":{"echo":0},"src":"c1","dest":"n1","body":{"type":"echo","echo":1,"msg_id":1,"\\u0065cho": 2 }}'
  t.is((await converse([INIT, line]))[1]!['echo'], 2)
})

test('echo without echo, and what this node does not know, are errors', async (t) => {
  const types = ['', 'ECHO', '__proto__', 'constructor', 'toString', 'x'.repeat(100)]
  const replies = await converse([INIT, request('echo', 1), ...types.map((type, index) => request(type, index + 2))])
  t.deepEqual(gist(replies[1]!), [12, 'echo is missing'])
  t.deepEqual(
    replies.slice(2).map(gist),
    types.map((type) => [10, `not supported: "${type.slice(0, 60)}"${type.length > 60 ? '…' : ''}`]),
  )
})

test('before init everything is error 22, from whom it was sent to', async (t) => {
  const { stdout } = await run([], `${request('echo', 1, { echo: 1 })}\n${request('nonsense', 2)}\n`)
  const [first, second] = stdout.split('\n')
  t.is(
    first,
    '{"src": "n1", "dest": "c1", "body": {"type": "error", "in_reply_to": 1, "code": 22, "text": "init must come before \\"echo\\"", "msg_id": 0}}',
  )
  t.true(second!.includes('"code": 22'))
})

test('init needs a node_id, and may be repeated but not changed', async (t) => {
  const replies = await converse([
    init(1, {}),
    init(2, { node_id: 5 }),
    init(3, { node_id: '' }),
    init(3, { node_id: 'n'.repeat(1001) }),
    init(4, { node_id: 'n1' }),
    init(5, { node_id: 'n1', node_ids: ['n1'] }),
    init(6, { node_id: 'n2' }),
  ])
  t.deepEqual(replies.map(gist), [
    [12, 'node_id must be a non-empty string of at most 1000 characters, got nothing'],
    [12, 'node_id must be a non-empty string of at most 1000 characters, got 5'],
    [12, 'node_id must be a non-empty string of at most 1000 characters, got ""'],
    [12, `node_id must be a non-empty string of at most 1000 characters, got "${'n'.repeat(60)}"…`],
    ['init_ok', undefined],
    ['init_ok', undefined],
    [22, 'this node is already "n1", got "n2"'],
  ])
})

test('what cannot be answered is reported on stderr, and skipped', async (t) => {
  const lines = [
    '',
    'nonsense\u0007\u009b31m',
    '[1]',
    '{"src":"c1","dest":"n1"}',
    '{"src":"c1","dest":"n1","body":{"type":"echo","echo":1,"msg_id":9007199254740993}}',
    '{"src":"c1","dest":"n1","body":{"type":"echo","echo":1,"msg_id":"1"}}',
    '{"dest":"n1","body":{"type":"echo","echo":1,"msg_id":1}}',
    '{"src":"n2","dest":"n1","body":{"type":"error","code":10,"text":"","in_reply_to":5,"msg_id":6}}',
  ]
  const { code, stdout, stderr } = await run([], [INIT, ...lines, request('tcp_echo_stats', 2)].join('\n'))
  t.is(code, 0)
  t.deepEqual(
    bodies(stdout).map((reply) => reply['in_reply_to']),
    [0, 2],
  )
  t.deepEqual(stderr.trimEnd().split('\n'), [
    'echo-node: malformed: a line must be a JSON object, got ""',
    String.raw`echo-node: malformed: a line must be a JSON object, got "nonsense\u0007\u{9b}31m"`,
    'echo-node: malformed: a line must be a JSON object, got "[1]"',
    'echo-node: malformed: body must be an object, got nothing',
    'echo-node: malformed: cannot reply: msg_id must be an integer within 2^53, got 9007199254740992',
    'echo-node: malformed: cannot reply: msg_id must be an integer within 2^53, got "1"',
    'echo-node: malformed: cannot reply: src must be a string, got nothing',
    'echo-node: malformed: got a reply to 5, but this node sends no requests',
  ])
})

test('a malformed request is answered with 12 if it says whom to answer', async (t) => {
  const lines = [
    '{"src":"c1","dest":"n1","body":{"msg_id":1}}',
    '{"src":"c1","dest":"n1","body":{"type":7,"msg_id":2}}',
    echo(3, '\u0001').replace('\u0001', '"\u0001"'),
    echo(4, '['.repeat(3_000_000)),
  ]
  const invalid = Buffer.from(`${echo(5, '"x"')}\n`)
  invalid[invalid.indexOf('x')] = 0xff
  const { stdout } = await run([], Buffer.concat([Buffer.from(`${[INIT, ...lines].join('\n')}\n`), invalid]))
  t.deepEqual(
    bodies(stdout).map((reply) => [reply['in_reply_to'], reply['text'] ?? reply['type']]),
    [
      [0, 'init_ok'],
      [1, 'body.type must be a string, got nothing'],
      [2, 'body.type must be a string, got 7'],
      // The third is not JSON: a string may not contain control characters.
      [4, 'a message has at most 500000 elements, got 3000012'],
      [5, 'a line must be UTF-8'],
    ],
  )
})

test('values may be nested as deeply as they like', async (t) => {
  const depth = 200_000
  const replies = await converse([INIT, echo(1, `${'['.repeat(depth)}1${']'.repeat(depth)}`)])
  t.is(replies[1]!['type'], 'echo_ok')
})

/** Repetitions of one element, which together are over the limit of elements, and take few bytes. */
const ELEMENTS = ['1', '"\\n"', '{}', '[]', 'null', '[[]]', '{"a":1}', '""']

for (const element of ELEMENTS) {
  test(`a line is not parsed if it has too many elements, such as ${element}`, async (t) => {
    const line = echo(1, `[${`${element},`.repeat(500_001)}0]`)
    const replies = await converse([INIT, line])
    t.is(replies[1]!['code'], 12)
    t.regex(String(replies[1]!['text']), /^a message has at most 500000 elements, got \d+$/)
  })
}

test('a byte order mark before the first line is skipped, and only there', async (t) => {
  const { stdout, stderr } = await run(
    [],
    `\ufeff${INIT}\n\ufeff${request('tcp_echo_stats', 1)}\n${request('tcp_echo_stats', 2)}\n`,
  )
  t.deepEqual(
    bodies(stdout).map((reply) => reply['in_reply_to']),
    [0, 2],
  )
  t.regex(stderr, /^echo-node: malformed: a line must be a JSON object, got ".*\n$/)
})

test('null stands for an msg_id that is not there', async (t) => {
  const line = JSON.stringify({ src: 'c1', dest: 'n1', body: { type: 'tcp_echo_start', port: 0, msg_id: null } })
  const replies = await converse([INIT, line, send(2, 'abc')])
  t.is(replies[1]!['echoed'], 'abc')
})
