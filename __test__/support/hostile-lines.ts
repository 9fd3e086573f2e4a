// Lines that a hostile client may send, each with the reply that it must get.

import { array, constant, constantFrom, double, integer, jsonValue, oneof, string, tuple } from 'fast-check'
import type { Arbitrary } from 'fast-check'

/** Stands for the number of the request, which is given when all lines are together. */
const ID = '@ID@'

/** A line, one character a byte, without its newline; and the type or code of its reply, if it gets one. */
export interface Hostile {
  bytes: string
  expected: string | undefined
}

const UNANSWERED = undefined

const space = constantFrom('', '', '', ' ', '\t', ' \r ')
const text = oneof(
  { weight: 20, arbitrary: string({ unit: 'binary', maxLength: 40 }) },
  { weight: 2, arbitrary: string({ unit: constantFrom('"', '\\', '\0', '\n', '\u2028', '🌍', '{', '[') }) },
  { weight: 1, arbitrary: integer({ min: 1000, max: 200_000 }).map((length) => 'x'.repeat(length)) },
)
const json = oneof(
  text.map((value) => JSON.stringify(value)),
  jsonValue({ maxDepth: 6 }).map((value) => JSON.stringify(value)),
  constantFrom('1e999', '-0', '12345678901234567890', '0.1e-7', '{"__proto__":{"type":"x"}}', '"\\ud800"'),
)
/** Members that change nothing: unknown, repeated, or names that a careless program trips over. */
const ballast = array(
  tuple(constantFrom('id', 'x', '__proto__', 'constructor', 'toString', 'then', ''), json).map(
    ([name, value]) => `"${name}":${value},`,
  ),
  { maxLength: 2 },
).map((members) => members.join(''))

/** A request with these members in its body, and what its reply is. */
function requests(bodies: Arbitrary<readonly [members: string, expected: string | undefined]>): Arbitrary<Hostile> {
  return tuple(bodies, ballast, ballast, space).map(([[members, expected], outer, inner, gap]) => ({
    bytes: encode(
      `{${outer}"src":"c1",${gap}"dest"${gap}:"n1","body":{${inner}"msg_id":${ID}${gap},${members}}}${gap}`,
    ),
    expected,
  }))
}

const encode = (line: string): string => Buffer.from(line).toString('latin1')

const send = text.map((data) => [`"type":"tcp_echo_send","data":${JSON.stringify(data)}`, 'tcp_echo_send_ok'] as const)

const valid = requests(
  oneof(
    send,
    json.map((value) => [`"type":"echo","echo":${value}`, 'echo_ok'] as const),
    integer({ min: 100, max: 5000 }).map((depth) => {
      return [`"type":"echo","echo":${'[{"a":'.repeat(depth)}1${'}]'.repeat(depth)}`, 'echo_ok'] as const
    }),
    constant(['"type":"tcp_echo_stats"', 'tcp_echo_stats_ok'] as const),
    constant(['"type":"tcp_echo_start","port":0', 'tcp_echo_start_ok'] as const),
    constant(['"type":"init","node_id":"n1"', 'init_ok'] as const),
  ),
)

const refused = requests(
  oneof(
    text.map((type) => [`"type":${JSON.stringify(`?${type}`)}`, 'error 10'] as const),
    constantFrom(
      ['"type":"__proto__"', 'error 10'] as const,
      ['"kind":"echo"', 'error 12'] as const,
      ['"type":7', 'error 12'] as const,
      ['"type":"echo"', 'error 12'] as const,
      ['"type":"init"', 'error 12'] as const,
      ['"type":"init","node_id":"n2"', 'error 22'] as const,
      ['"type":"tcp_echo_start","port":1', 'error 22'] as const,
      ['"type":"tcp_echo_start","port":65536', 'error 12'] as const,
      ['"type":"tcp_echo_send"', 'error 12'] as const,
      ['"type":"tcp_echo_send","data":["hello"]', 'error 12'] as const,
      ['"type":"tcp_echo_send","data":"\\udc00"', 'error 12'] as const,
    ),
  ),
)

/** Not UTF-8: inside a string the rest of the line can be read, elsewhere it is no JSON. */
const wrongEncoding = oneof(
  constantFrom('\u00ff', '\u00c3\u0028', '\u00ed\u00a0\u0080', '\u00f0\u009f').map((bytes) => ({
    bytes: `{"src":"c1","dest":"n1","body":{"type":"echo","msg_id":${ID},"echo":"${bytes}"}}`,
    expected: 'error 12',
  })),
  constantFrom('\u00fe', '\u0080').map((bytes) => ({
    bytes: `${bytes}{"src":"c1","dest":"n1","body":{"type":"echo","msg_id":${ID},"echo":1}}`,
    expected: UNANSWERED,
  })),
)

const wrongEnvelope = constantFrom(
  `{"dest":"n1","body":{"type":"echo","echo":1,"msg_id":${ID}}}`,
  `{"src":7,"dest":"n1","body":{"type":"echo","echo":1,"msg_id":${ID}}}`,
  '{"src":"c1","dest":"n1","body":{"type":"tcp_echo_stats","msg_id":"1"}}',
  '{"src":"c1","dest":"n1","body":{"type":"tcp_echo_stats","msg_id":1.5}}',
  '{"src":"c1","dest":"n1","body":{"type":"tcp_echo_stats","msg_id":9007199254740993}}',
  '{"src":"c1","dest":"n1","body":{"type":"tcp_echo_stats"}}',
  `{"src":"c1","dest":"n1","body":{"type":"error","in_reply_to":1,"msg_id":${ID}}}`,
  `{"src":"c1","dest":"n1","body":[{"type":"echo","echo":1,"msg_id":${ID}}]}`,
  `{"src":"c1","dest":"n1","body":null}`,
).map((bytes) => ({ bytes, expected: UNANSWERED }))

/** The beginning of a valid line. */
const half = tuple(valid, double({ min: 0, max: 0.99, noNaN: true })).map(([{ bytes }, part]) => ({
  bytes: bytes.trimEnd().slice(0, Math.floor(bytes.trimEnd().length * part)),
  expected: UNANSWERED,
}))

const noise = oneof(
  integer({ min: 101, max: 5000 }).map((depth) => `{"src":"c1","body":{"echo":${'['.repeat(depth)}}}`),
  string({ unit: 'binary', maxLength: 60 }).map((line) => encode(line.replaceAll('\n', ' '))),
  jsonValue().map((value) => encode(JSON.stringify(value))),
  constantFrom('', '\r', 'null', '{}', '[]', '"', '\0', '{"body":{}}'),
).map((bytes) => ({ bytes, expected: UNANSWERED }))

/** Any of them, half of them valid. */
export const hostileLines: Arbitrary<Hostile> = oneof(
  { weight: 6, arbitrary: valid },
  { weight: 2, arbitrary: refused },
  { weight: 1, arbitrary: wrongEncoding },
  { weight: 1, arbitrary: wrongEnvelope },
  { weight: 1, arbitrary: half },
  { weight: 1, arbitrary: noise },
)

/** The line's bytes as request number `msgId`. */
export function numbered({ bytes }: Hostile, msgId: number): Buffer {
  return Buffer.from(bytes.replaceAll(ID, String(msgId)), 'latin1')
}
