/**
 * JSON as bytes, for what `JSON.parse` cannot tell: how much a text costs to parse, before it is parsed, and how a value
 * was written. A number beyond 2^53 or 1e400 would come out of `JSON.parse` as another number.
 */

const QUOTE = 0x22
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const SPACE = 0x20
/** The bytes of `\u00`, which begin the only escape that letters have. */
const ESCAPED_ASCII = 0x5c753030

/** The value of a JSON text; undefined if the text is not JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/**
 * How many commas, colons and opening brackets stand outside strings: at least one for each value and each key but the
 * first, however they are written. Works on any bytes, JSON or not.
 */
export function countElements(json: Buffer): number {
  let count = 0
  for (let at = 0; at < json.length; at++) {
    const byte = json[at]!
    if (byte === QUOTE) at = endOfString(json, at) - 1
    else if (byte === COMMA || byte === COLON || opens(byte)) count++
  }
  return count
}

/**
 * The values of these members, with the white space around them, found in one pass over the text of an object. If
 * several members have the same name, the last one counts, as with `JSON.parse`. Works on any bytes.
 *
 * @param names of ASCII letters and underscores
 */
export function rawMembers<Name extends string>(json: Buffer, ...names: Name[]): Partial<Record<Name, Buffer>> {
  const found: Partial<Record<Name, Buffer>> = {}
  let at = skipSpace(json, 0)
  if (json[at] !== 0x7b) return found
  at = skipSpace(json, at + 1)
  while (json[at] === QUOTE) {
    const keyEnd = endOfString(json, at)
    const valueStart = skipSpace(json, keyEnd) + 1
    const valueEnd = endOfValue(json, valueStart)
    for (const name of names) if (isName(name, json, at, keyEnd)) found[name] = json.subarray(valueStart, valueEnd)
    at = skipSpace(json, valueEnd + 1)
  }
  return found
}

/**
 * The same JSON as Maelstrom's documentation writes it: one space after each comma and colon, no other space outside
 * strings, and no unnecessary escapes. Numbers keep their digits.
 *
 * @param json well-formed JSON
 */
export function respace(json: Buffer): Buffer {
  // Twice the length is enough: at most one space is added per byte, and strings never grow.
  const out = Buffer.allocUnsafe(2 * json.length)
  let length = 0
  for (let at = 0; at < json.length;) {
    const byte = json[at]!
    if (byte === QUOTE) {
      const end = endOfString(json, at)
      const string = json.toString('utf8', at, end)
      length += out.write(string.includes('\\') ? JSON.stringify(JSON.parse(string)) : string, length)
      at = end
      continue
    }
    if (!isSpace(byte)) out[length++] = byte
    if (byte === COMMA || byte === COLON) out[length++] = SPACE
    at++
  }
  return out.subarray(0, length)
}

/** Whether the string from `start` to `end` is this name. Allocates nothing: an object may have millions of keys. */
function isName(name: string, json: Buffer, start: number, end: number): boolean {
  let at = start + 1
  for (let index = 0; index < name.length; index++) {
    const isEscaped = json[at] === BACKSLASH && at + 6 < end && json.readUInt32BE(at) === ESCAPED_ASCII
    const code = isEscaped ? 16 * hexDigit(json[at + 4]!) + hexDigit(json[at + 5]!) : json[at]
    if (code !== name.charCodeAt(index)) return false
    at += isEscaped ? 6 : 1
  }
  return at === end - 1
}

/** The index of the comma or bracket after the value that starts at `at`. */
function endOfValue(json: Buffer, at: number): number {
  for (let depth = 0; at < json.length; at++) {
    const byte = json[at]!
    if (byte === QUOTE) at = endOfString(json, at) - 1
    else if (opens(byte)) depth++
    else if (depth === 0 && (byte === COMMA || closes(byte))) break
    else if (closes(byte)) depth--
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
const hexDigit = (byte: number): number => (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57)
