// The node's reading of bytes, held against what everybody's is.

import test from 'ava'
import { array, assert, constantFrom, integer, jsonValue, property, string, tuple } from 'fast-check'

import { countElements, rawMembers, respace } from '../maelstrom/json.ts'
import { LineSplitter } from '../maelstrom/lines.ts'
import { parseLine } from '../maelstrom/protocol.ts'

const RUNS = { numRuns: 2000 }

const json = jsonValue({ maxDepth: 5, stringUnit: 'binary' })

/** JSON with white space wherever it may be, and every second string escaped. */
function loosely(value: unknown, gap: string): string {
  if (Array.isArray(value)) return `[${gap}${value.map((item) => loosely(item, gap)).join(`${gap},${gap}`)}${gap}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(
      ([key, item]) => `${JSON.stringify(key)}${gap}:${gap}${loosely(item, gap)}`,
    )
    return `{${gap}${members.join(`${gap},${gap}`)}${gap}}`
  }
  return typeof value === 'string' && value.length % 2 === 0 ? escaped(value) : JSON.stringify(value)
}

function escaped(value: string): string {
  const units = value.split('').map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return `"${units.join('')}"`
}

/** JSON as Maelstrom's documentation writes it. */
function spaced(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(spaced).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  return `{${Object.entries(value)
    .map(([key, item]) => `${JSON.stringify(key)}: ${spaced(item)}`)
    .join(', ')}}`
}

/** Values and keys, without the value itself. */
function elementsOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const own = Array.isArray(value) ? value.length : 2 * Object.keys(value).length
  return Object.values(value).reduce((sum: number, item) => sum + elementsOf(item), own)
}

const gaps = constantFrom('', ' ', '\t\n', '  \r ')

test('JSON is respaced as a printer would print it', (t) => {
  const same = property(tuple(json, gaps), ([value, gap]) => {
    t.is(respace(Buffer.from(loosely(value, gap))).toString(), spaced(JSON.parse(JSON.stringify(value))))
  })
  assert(same, RUNS)
})

test('members are found where JSON.parse finds them, however their names are written', (t) => {
  const names = ['msg_id', 'src'] as const
  const keys = constantFrom(...names, 'msg_i', 'msg_idx', 'srx', 'Src', '__proto__', '"', 'é', 'src\\', '')
  const writers = constantFrom(
    JSON.stringify,
    escaped,
    (key: string) => escaped(key).replace(/[a-f]/g, upper),
    halfEscaped,
  )
  const same = property(tuple(array(tuple(keys, json, writers), { maxLength: 5 }), gaps), ([members, gap]) => {
    const written = members.map(([key, value, write]) => `${gap}${write(key)}${gap}:${loosely(value, gap)}`)
    const text = `{${written.join(',')}}`
    const found = rawMembers(Buffer.from(text), ...names)
    const parsed = JSON.parse(text) as Record<string, unknown>
    for (const name of names) {
      const value = found[name]
      t.deepEqual(value === undefined ? undefined : JSON.parse(value.toString()), parsed[name])
    }
  })
  assert(same, RUNS)
})

function upper(text: string): string {
  return text.toUpperCase()
}

/** A string whose first half is escaped. */
function halfEscaped(value: string): string {
  const half = Math.floor(value.length / 2)
  return escaped(value.slice(0, half)).slice(0, -1) + JSON.stringify(value.slice(half)).slice(1)
}

/** Members of which millions fill a line, and what names they have. */
const MEMBERS = [
  ['short names', '"":1,'],
  ['escapes', String.raw`"\n":1,`],
  ['escapes of letters', String.raw`"\u0073\u0072x":1,`],
  ['names that the node looks for', '"src":1,"msg_id":2,'],
  ['white space', '"" : 1 , '],
  ['members of their own', '"body":{"msg_id":1},'],
] as const

for (const [name, member] of MEMBERS) {
  for (const place of ['the line', 'its body']) {
    test.serial(`a line that is too large to parse costs little more than to count, with ${name} in ${place}`, (t) => {
      const many = member.repeat((15 << 20) / member.length)
      const [outer, inner] = place === 'the line' ? [many, ''] : ['', many]
      const line = Buffer.from(`{${outer}"src":"c1","dest":"n1","body":{${inner}"type":"echo","msg_id":5}}`)
      t.deepEqual(parseLine(line).envelope, { src: 'c1', dest: 'n1', msgId: 5 })
      const [parsing, counting] = [fastest(() => parseLine(line)), fastest(() => countElements(line))]
      t.log(`${Math.round(parsing)} ms, and ${Math.round(counting)} ms to count`)
      t.true(parsing < 20 * counting)
    })
  }
}

test('a reply that is too large to parse is not answered, whatever it says it replies to', (t) => {
  const values = `[${'0,'.repeat(600_000)}0]`
  for (const replied of ['1', '"1"', '[1]', '{"a":1}']) {
    const line = `{"src":"n2","body":{"values":${values},"msg_id":1,"in_reply_to":${replied}}}`
    t.is(parseLine(Buffer.from(line)).envelope, undefined, replied)
  }
})

/** The shortest of some runs, in milliseconds. */
function fastest(run: () => void): number {
  const times = Array.from({ length: 5 }, () => {
    const begin = performance.now()
    run()
    return performance.now() - begin
  })
  return Math.min(...times)
}

test('what is no object has no members', (t) => {
  for (const text of ['["a", 1]', '"a"', ' ["a":1]', '']) t.deepEqual(rawMembers(Buffer.from(text), 'a'), {}, text)
})

test('any bytes can be searched and counted', (t) => {
  const bytes = string({ unit: constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', ' ', 'a'), maxLength: 40 })
  const ends = property(bytes, (text) => {
    rawMembers(Buffer.from(`{${text}`), 'a')
    countElements(Buffer.from(text))
  })
  t.notThrows(() => assert(ends, { numRuns: 20_000 }))
})

test('no element of a value goes uncounted, and none counts more than twice', (t) => {
  const counted = property(tuple(json, gaps), ([value, gap]) => {
    const [count, elements] = [countElements(Buffer.from(loosely(value, gap))), elementsOf(value)]
    t.true(count >= elements && count <= 2 * elements + 1, `${count} for ${elements}`)
  })
  assert(counted, RUNS)
})

const LIMIT = 20

/** The lines of a text that arrives in pieces of these sizes, and how many were too long. */
function linesOf(bytes: Buffer, sizes: number[]): [lines: string[], tooLong: number] {
  let tooLong = 0
  const splitter = new LineSplitter(LIMIT, () => tooLong++)
  const lines: Buffer[] = []
  for (let at = 0, piece = 0; at < bytes.length; piece++) {
    const end = at + 1 + (sizes[piece] ?? 0)
    lines.push(...splitter.push(bytes.subarray(at, end)))
    at = end
  }
  return [[...lines, ...splitter.end()].map(String), tooLong]
}

const fits = (line: string): boolean => Buffer.byteLength(line) <= LIMIT

test('lines are the same however the bytes are cut', (t) => {
  const input = string({ unit: constantFrom('\n', 'a', 'é', '\r', '\ufeff'), maxLength: 200 })
  const same = property(tuple(input, array(integer({ min: 0, max: 30 }))), ([text, sizes]) => {
    const all = text.split('\n')
    // What follows the last newline is a line only if it is not empty.
    if (all.at(-1) === '') all.pop()
    const expected = all.filter(fits)
    if (fits(all[0] ?? '')) expected[0] = expected[0]?.replace(/^\ufeff/, '') ?? ''
    if (all.length === 0) expected.pop()
    t.deepEqual(linesOf(Buffer.from(text), sizes), [expected, all.length - all.filter(fits).length])
  })
  assert(same, RUNS)
})

test('a line that arrives byte by byte costs linear time', (t) => {
  const size = 1 << 20
  const splitter = new LineSplitter(size, t.fail)
  const byte = Buffer.from('x')
  const begin = performance.now()
  for (let count = 0; count < size; count++) splitter.push(byte)
  t.deepEqual(
    splitter.end().map((line) => line.length),
    [size],
  )
  // Quadratic copying would take minutes.
  t.true(performance.now() - begin < 10_000)
})
