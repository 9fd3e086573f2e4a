// The node's reading of bytes, held against what everybody's is.

import test from 'ava'
import { array, assert, constantFrom, integer, jsonValue, property, string, tuple } from 'fast-check'

import { measure, rawMember, respace } from '../maelstrom/json.ts'
import { Lines } from '../maelstrom/lines.ts'

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

function depthOf(value: unknown): number {
  return typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0
}

const gaps = constantFrom('', ' ', '\t\n', '  \r ')

test('JSON is respaced as a printer would print it', (t) => {
  const same = property(tuple(json, gaps), ([value, gap]) => {
    t.is(respace(Buffer.from(loosely(value, gap))).toString(), spaced(JSON.parse(JSON.stringify(value))))
  })
  assert(same, RUNS)
})

test('a member is found where JSON.parse finds it', (t) => {
  const keys = constantFrom('a', '__proto__', '"', 'é', 'a\\', '')
  const same = property(tuple(array(tuple(keys, json), { maxLength: 5 }), gaps, keys), ([members, gap, name]) => {
    const text = `{${members.map(([key, value]) => `${gap}${escaped(key)}${gap}:${loosely(value, gap)}`).join(',')}}`
    const found = rawMember(name, Buffer.from(text))
    const parsed = JSON.parse(text) as Record<string, unknown>
    t.deepEqual(
      found === undefined ? undefined : JSON.parse(found.toString()),
      Object.hasOwn(parsed, name) ? parsed[name] : undefined,
    )
  })
  assert(same, RUNS)
})

test('any bytes can be searched and measured', (t) => {
  const bytes = string({ unit: constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', ' ', 'a'), maxLength: 40 })
  const ends = property(bytes, (text) => {
    rawMember('a', Buffer.from(`{${text}`))
    measure(Buffer.from(text))
  })
  t.notThrows(() => assert(ends, { numRuns: 20_000 }))
})

test('depth is that of the value', (t) => {
  const same = property(tuple(json, gaps), ([value, gap]) => {
    t.is(measure(Buffer.from(loosely(value, gap))).depth, depthOf(value))
  })
  assert(same, RUNS)
})

test('lines are the same however the bytes are cut', (t) => {
  const LIMIT = 20
  const input = string({ unit: constantFrom('\n', 'a', 'é', '\r'), maxLength: 200 })
  const same = property(tuple(input, array(integer({ min: 0, max: 30 }))), ([text, cuts]) => {
    const bytes = Buffer.from(text)
    let tooLong = 0
    const lines = new Lines(LIMIT, () => tooLong++)
    const got: string[] = []
    for (let at = 0, cut = 0; at < bytes.length; cut++) {
      const end = at + 1 + (cuts[cut] ?? 0)
      lines.push(bytes.subarray(at, end))
      at = end
      for (let line = lines.next(); line !== undefined; line = lines.next()) got.push(line.toString())
    }
    got.push(lines.rest()?.toString() ?? '')
    const all = text.split('\n')
    const short = all.filter((line) => Buffer.byteLength(line) <= LIMIT)
    // An empty rest is no line, and one that is too long is none either.
    if (Buffer.byteLength(all.at(-1)!) > LIMIT) short.push('')
    t.deepEqual(got, short)
    t.is(tooLong, all.filter((line) => Buffer.byteLength(line) > LIMIT).length)
  })
  assert(same, RUNS)
})
