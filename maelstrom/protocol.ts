import { isUtf8 } from 'node:buffer'

import { measure, rawMember } from './json.ts'

/** Maelstrom's error codes, those this node answers with. 0 is the one that leaves open whether it was carried out. */
export const ErrorCode = {
  timeout: 0,
  notSupported: 10,
  temporarilyUnavailable: 11,
  malformedRequest: 12,
  crash: 13,
  abort: 14,
  preconditionFailed: 22,
} as const

/** One of Maelstrom's error codes. */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode]

/** Brackets a line may have open at once; real messages need three. */
export const NESTING_LIMIT = 100

/** Milliseconds a request may take: Maelstrom's clients give up after 5 s, and a reply after that ends the run. */
export const PATIENCE = 4000

/**
 * Arrays, objects and members in a line. Parsed, each costs up to a hundred times its bytes: a line of 16 MiB took a
 * gigabyte and two seconds.
 */
export const PARTS_LIMIT = 250_000

const SHOWN_LENGTH = 60
const REPLACEMENT = '\ufffd'

/** Where a reply goes, and as whom the request addressed the node. */
export interface Address {
  src: string
  dest: string
  msgId: number
}

/** One request, its envelope checked; what its body holds besides is for the handler to check. */
export interface Request {
  type: string
  body: Readonly<Record<string, unknown>>
  /** The line it came in, for what `JSON.parse` loses. */
  line: Buffer
  /** The name it calls the node by; empty if it does not say. */
  dest: string
  /** Undefined if no answer is wanted: the request has no `msg_id`. */
  replyTo: Address | undefined
}

/** Why a line is no request; answered if it could be read from whom it came. */
export interface Malformed {
  reason: string
  replyTo: Address | undefined
}

/** A value in a reply: text, a number, or JSON that is written as it stands. */
export type Value = string | number | { json: string }

/** A reply's body without `in_reply_to` and `msg_id`: its type, and its other members in the order they are written. */
export interface Reply {
  type: string
  fields?: Readonly<Record<string, Value>>
}

/** The reply to a request that was not carried out; with code 0, to one of which that is not known. */
export function failure(code: ErrorCode, text: string): Reply {
  return { type: 'error', fields: { code, text } }
}

/** The reply to a request that was not done in time. */
export function timedOut(): Reply {
  return failure(ErrorCode.timeout, `not done within ${PATIENCE / 1000} s`)
}

/** Reads one line, given without its newline. */
export function parseLine(line: Buffer): Request | Malformed {
  const excess = excessOf(line)
  if (excess !== undefined) return malformed(excess, scanEnvelope(line))
  const text = line.toString()
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch {
    return malformed(`a line must be a JSON object, but is ${show(text)}`)
  }
  // U+FFFD stands where the decoder found no UTF-8, but also where the sender wrote U+FFFD.
  if (text.includes(REPLACEMENT) && !isUtf8(line)) {
    return malformed('a line must be UTF-8, but has other bytes', envelopeOf(message))
  }
  return isObject(message)
    ? readMessage(message, line)
    : malformed(`a line must be a JSON object, but is ${show(text)}`)
}

/** What is too much in a line to parse it, if anything is. */
function excessOf(line: Buffer): string | undefined {
  // So short that it cannot be.
  if (line.length <= NESTING_LIMIT) return undefined
  const { depth, parts } = measure(line)
  if (depth > NESTING_LIMIT) return `a message nests at most ${NESTING_LIMIT} levels deep, but this one ${depth}`
  if (parts <= PARTS_LIMIT) return undefined
  return `a message has at most ${PARTS_LIMIT} arrays, objects and members, but this one ${parts}`
}

function readMessage(message: Readonly<Record<string, unknown>>, line: Buffer): Request | Malformed {
  const { src, dest, body } = message
  if (!isObject(body)) return malformed(`body must be an object, but is ${show(body)}`)
  // Some libraries write a member that is not there as null.
  const msgId = body['msg_id'] ?? undefined
  if (isReply(body)) return malformed(`a reply to ${show(body['in_reply_to'])}, but this node asks nothing`)
  if (msgId !== undefined && !isSafeInteger(msgId)) {
    return malformed(`msg_id must be an integer within 2^53, but is ${show(msgId)}`)
  }
  if (msgId !== undefined && typeof src !== 'string') return malformed(`src must be a string, but is ${show(src)}`)
  const replyTo = envelopeOf(message)
  const type = body['type']
  if (typeof type !== 'string') return malformed(`body.type must be a string, but is ${show(type)}`, replyTo)
  return { type, body, line, dest: typeof dest === 'string' ? dest : '', replyTo }
}

/** The address in a parsed message; undefined if it does not say who asks, or which request this is. */
function envelopeOf(message: unknown): Address | undefined {
  if (!isObject(message) || !isObject(message['body'])) return undefined
  const { src, dest } = message
  const msgId = message['body']['msg_id']
  if (typeof src !== 'string' || !isSafeInteger(msgId) || isReply(message['body'])) return undefined
  return { src, dest: typeof dest === 'string' ? dest : '', msgId }
}

/** The address in a line that is too deep to parse. */
function scanEnvelope(line: Buffer): Address | undefined {
  const body = rawMember('body', line)
  if (body === undefined) return undefined
  const scalars = { msg_id: scalar('msg_id', body), in_reply_to: scalar('in_reply_to', body) }
  return envelopeOf({ src: scalar('src', line), dest: scalar('dest', line), body: scalars })
}

function scalar(name: string, json: Buffer): unknown {
  const raw = rawMember(name, json)
  if (raw === undefined || measure(raw).parts > 0) return undefined
  try {
    return JSON.parse(raw.toString())
  } catch {
    return undefined
  }
}

/**
 * A reply as the line to write, newline included: separators and order of keys as in Maelstrom's documentation.
 *
 * @param src the node's name
 * @param to where the request came from
 * @param msgId the reply's own number
 */
export function formatReply(src: string, to: Address, reply: Reply, msgId: number): string {
  let fields = ''
  for (const name in reply.fields) fields += `, "${name}": ${formatValue(reply.fields[name]!)}`
  return (
    `{"src": ${JSON.stringify(src)}, "dest": ${JSON.stringify(to.src)}, ` +
    `"body": {"type": "${reply.type}", "in_reply_to": ${to.msgId}${fields}, "msg_id": ${msgId}}}\n`
  )
}

function formatValue(value: Value): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return typeof value === 'number' ? String(value) : value.json
}

/**
 * A value in an error's text: as JSON, so that its type is seen, without control characters, and short.
 */
export function show(value: unknown): string {
  if (value === undefined) return 'missing'
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  // Cut before it is quoted: it may be megabytes long.
  const cut = typeof value === 'string' && value.length > SHOWN_LENGTH
  const json = JSON.stringify(cut ? value.slice(0, SHOWN_LENGTH) : value)
  const printable = json.replace(/[\u007f-\u009f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`)
  return cut ? `${printable}…` : printable
}

/** Answering a reply could start two nodes answering each other without end. */
function isReply(body: Readonly<Record<string, unknown>>): boolean {
  return (body['in_reply_to'] ?? undefined) !== undefined
}

function malformed(reason: string, replyTo?: Address): Malformed {
  return { reason, replyTo }
}

function isSafeInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
