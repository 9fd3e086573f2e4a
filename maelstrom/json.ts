/**
 * JSON as bytes: what `JSON.parse` cannot tell. How much a text asks for, before memory is spent on parsing it, and how a
 * value was written: a number beyond 2^53 or 1e400 would come out of `JSON.parse` as another number.
 */

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const SPACE = 0x20

/** How much a text asks of a parser. */
export interface Shape {
  /** The most brackets open at once. */
  depth: number
  /** Arrays, objects and members of objects in all: what costs a parser the most. */
  parts: number
}

/** Takes a text's measure, in one pass that holds nothing. Works on any bytes, JSON or not. */
export function measure(json: Buffer): Shape {
  let depth = 0
  let open = 0
  let parts = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]!
    if (byte === QUOTE) at = endOfString(json, at) - 1
    else if (byte === COLON) parts++
    else if (closes(byte)) open--
    else if (opens(byte)) {
      parts++
      if (++open > depth) depth = open
    }
  }
  return { depth, parts }
}

/**
 * The bytes of one member's value in the text of an object, of the last member if several have the name, as
 * `JSON.parse` has it. Undefined if there is none, or the text is no object. Nothing is assumed of the text: whatever it
 * is, the search ends.
 */
export function rawMember(name: string, json: Buffer): Buffer | undefined {
  let at = skipSpace(json, 0)
  if (json[at] !== 0x7b) return undefined
  let found: Buffer | undefined
  at = skipSpace(json, at + 1)
  while (json[at] === QUOTE) {
    const keyEnd = endOfString(json, at)
    const valueStart = skipSpace(json, skipSpace(json, keyEnd) + 1)
    const valueEnd = endOfValue(json, valueStart)
    if (isKey(name, json.subarray(at, keyEnd))) found = json.subarray(valueStart, valueEnd)
    at = skipSpace(json, skipSpace(json, valueEnd) + 1)
  }
  return found
}

/**
 * The same JSON as Maelstrom's own examples write it: a space after each comma and colon, no other outside strings, and
 * no escape in a string that does not need one. Numbers stay as they are, digit for digit.
 *
 * @param json well-formed JSON
 */
export function respace(json: Buffer): Buffer {
  // A space after every byte is more than the worst case, and a string never becomes longer.
  const out = Buffer.allocUnsafe(2 * json.length)
  let length = 0
  for (let at = 0; at < json.length;) {
    const byte = json[at]!
    if (byte === QUOTE) {
      const end = endOfString(json, at)
      length += writeString(json.subarray(at, end), out, length)
      at = end
      continue
    }
    if (!isSpace(byte)) out[length++] = byte
    if (byte === COMMA || byte === COLON) out[length++] = SPACE
    at++
  }
  return out.subarray(0, length)
}

function writeString(literal: Buffer, out: Buffer, at: number): number {
  if (!literal.includes(BACKSLASH)) return literal.copy(out, at)
  return out.write(JSON.stringify(JSON.parse(literal.toString())), at)
}

function isKey(name: string, literal: Buffer): boolean {
  const written = literal.toString('latin1')
  if (written === `"${name}"`) return true
  if (!written.includes('\\')) return false
  try {
    return JSON.parse(literal.toString()) === name
  } catch {
    return false
  }
}

/** The index after the value that starts at `at`. */
function endOfValue(json: Buffer, at: number): number {
  let depth = 0
  while (at < json.length) {
    const byte = json[at]!
    if (depth === 0 && (byte === COMMA || closes(byte) || isSpace(byte))) break
    at = byte === QUOTE ? endOfString(json, at) : at + 1
    if (opens(byte)) depth++
    else if (closes(byte)) depth--
    if (depth === 0 && (byte === QUOTE || closes(byte))) break
  }
  return at
}

/** The index after the string that starts at `at`, or after the text if the string does not end. */
function endOfString(json: Buffer, at: number): number {
  for (at++; at < json.length; at++) {
    const byte = json[at]
    if (byte === BACKSLASH) at++
    else if (byte === QUOTE) return at + 1
  }
  return json.length
}

function skipSpace(json: Buffer, at: number): number {
  while (at < json.length && isSpace(json[at]!)) at++
  return at
}

const isSpace = (byte: number): boolean => byte === SPACE || byte === 0x0a || byte === 0x0d || byte === 0x09
const opens = (byte: number): boolean => byte === 0x5b || byte === 0x7b
const closes = (byte: number): boolean => byte === 0x5d || byte === 0x7d
