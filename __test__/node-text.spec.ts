// The node's reading of bytes, held against what everybody's is.

import { Readable } from 'node:stream'

import test from 'ava'
import { array, assert, asyncProperty, constantFrom, integer, jsonValue, property, string, tuple } from 'fast-check'

import { countElements, rawMember, respace } from '../maelstrom/json.ts'
import { readLines } from '../maelstrom/lines.ts'

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

test('any bytes can be searched and counted', (t) => {
  const bytes = string({ unit: constantFrom('{', '}', '[', ']', '"', '\\', ':', ',', ' ', 'a'), maxLength: 40 })
  const ends = property(bytes, (text) => {
    rawMember('a', Buffer.from(`{${text}`))
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
async function linesOf(bytes: Buffer, sizes: number[]): Promise<[lines: string[], tooLong: number]> {
  function* pieces(): Generator<Buffer> {
    for (let at = 0, piece = 0; at < bytes.length; piece++) {
      const end = at + 1 + (sizes[piece] ?? 0)
      yield bytes.subarray(at, end)
      at = end
    }
  }
  let tooLong = 0
  const lines: string[] = []
  for await (const some of readLines(Readable.from(pieces()), LIMIT, () => tooLong++)) {
    lines.push(...some.map((line) => line.toString()))
  }
  return [lines, tooLong]
}

const fits = (line: string): boolean => Buffer.byteLength(line) <= LIMIT

test('lines are the same however the bytes are cut', async (t) => {
  const input = string({ unit: constantFrom('\n', 'a', 'é', '\r', '\ufeff'), maxLength: 200 })
  const same = asyncProperty(tuple(input, array(integer({ min: 0, max: 30 }))), async ([text, sizes]) => {
    const all = text.split('\n')
    // What follows the last newline is a line only if it is not empty.
    if (all.at(-1) === '') all.pop()
    const expected = all.filter(fits)
    if (fits(all[0] ?? '')) expected[0] = expected[0]?.replace(/^\ufeff/, '') ?? ''
    if (all.length === 0) expected.pop()
    t.deepEqual(await linesOf(Buffer.from(text), sizes), [expected, all.length - all.filter(fits).length])
  })
  await assert(same, RUNS)
})

test('a line that arrives byte by byte costs linear time', async (t) => {
  const size = 1 << 20
  function* bytes(): Generator<Buffer> {
    const byte = Buffer.from('x')
    for (let count = 0; count < size; count++) yield byte
  }
  const lengths: number[] = []
  const begin = performance.now()
  for await (const lines of readLines(Readable.from(bytes()), size, t.fail)) {
    lengths.push(...lines.map((line) => line.length))
  }
  t.deepEqual(lengths, [size])
  // Quadratic copying would take minutes.
  t.true(performance.now() - begin < 10_000)
})
