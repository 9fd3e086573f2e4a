import { isUtf8 } from 'node:buffer'

import { countElements, parse, rawMembers } from './json.ts'

/** A parsed JSON object. */
type JsonObject = Readonly<Record<string, unknown>>

/** The error codes of Maelstrom that this node uses. After a timeout it is unknown whether the request was carried out. */
export const ErrorCode = {
  timeout: 0,
  notSupported: 10,
  temporarilyUnavailable: 11,
  malformedRequest: 12,
  crash: 13,
  abort: 14,
  preconditionFailed: 22,
}

/**
 * Milliseconds that a request may take after it was read. The node promises a reply within 4 s: the rest is for writing
 * thousands of replies on a busy machine. Maelstrom's clients give up after 5 s.
 */
export const TIME_LIMIT = 3500

/**
 * Elements in a line, at most. Each costs up to a hundred times its bytes when it is parsed: a line of 16 MiB could take
 * a gigabyte and two seconds.
 */
export const ELEMENT_LIMIT = 500_000

const SHOWN_LENGTH = 60
const REPLACEMENT = '\ufffd'

/** Who sent a request, to whom, and its number: what a reply needs. */
export interface Envelope {
  src: string
  dest: string
  msgId: number
}

/** A request with a valid envelope. The handler checks the rest of the body. */
export interface Request {
  type: string
  body: JsonObject
  /** The line it came in, for what `JSON.parse` loses. */
  line: Buffer
  /** Undefined if the request has no `msg_id`, and so wants no reply. */
  envelope: Envelope | undefined
}

/** A line that is no valid request. It gets a reply if its envelope could be read. */
export interface Malformed {
  reason: string
  envelope: Envelope | undefined
}

/** A value in a reply: text, a number, or JSON to be written as it is. */
export type Value = string | number | { json: string }

/** The body of a reply, without `in_reply_to` and `msg_id`; `fields` in the order in which they are written. */
export interface Reply {
  type: string
  fields?: Readonly<Record<string, Value>>
}

/** An error as a reply. */
export function errorReply(code: number, text: string): Reply {
  return { type: 'error', fields: { code, text } }
}

/** The reply to a request that was not done by its deadline. */
export function timedOut(): Reply {
  return errorReply(ErrorCode.timeout, `not done within ${TIME_LIMIT / 1000} s`)
}

/** Maelstrom's codes for errors of the API. All others are crashes. */
const CODES: Readonly<Record<string, number>> = {
  ERR_INVALID_ARG_TYPE: ErrorCode.malformedRequest,
  ERR_INVALID_ARG_VALUE: ErrorCode.malformedRequest,
  ERR_OUT_OF_RANGE: ErrorCode.malformedRequest,
  ERR_SERVER_ALREADY_LISTEN: ErrorCode.preconditionFailed,
  ERR_SERVER_NOT_RUNNING: ErrorCode.preconditionFailed,
}

/** An error of the API as a reply. */
export function errorReplyFor(error: unknown): Reply {
  const { code = '', message } = error as NodeJS.ErrnoException
  return code === 'ETIMEDOUT' ? timedOut() : errorReply(CODES[code] ?? ErrorCode.crash, message)
}

/** Reads one line, given without its newline. */
export function parseLine(line: Buffer): Request | Malformed {
  // There are no more elements than bytes: most lines need no counting.
  const elements = line.length > ELEMENT_LIMIT ? countElements(line) : 0
  if (elements > ELEMENT_LIMIT) {
    return malformed(`a message has at most ${ELEMENT_LIMIT} elements, got ${elements}`, scanEnvelope(line))
  }
  const text = line.toString()
  const message = parse(text)
  if (!isObject(message)) return malformed(`a line must be a JSON object, got ${show(text)}`)
  // U+FFFD stands for bytes that are not UTF-8, but the sender may also have written it.
  if (text.includes(REPLACEMENT) && !isUtf8(line)) return malformed('a line must be UTF-8', envelopeOf(message))
  return readMessage(message, line)
}

function readMessage(message: JsonObject, line: Buffer): Request | Malformed {
  const { src, body } = message
  if (!isObject(body)) return malformed(`body must be an object, got ${show(body)}`)
  if (isReply(body)) return malformed(`got a reply to ${show(body['in_reply_to'])}, but this node sends no requests`)
  const envelope = envelopeOf(message)
  if (envelope === undefined && isPresent(body['msg_id'])) {
    return isMsgId(body['msg_id'])
      ? malformed(`cannot reply: src must be a string, got ${show(src)}`)
      : malformed(`cannot reply: msg_id must be an integer within 2^53, got ${show(body['msg_id'])}`)
  }
  const { type } = body
  if (typeof type !== 'string') return malformed(`body.type must be a string, got ${show(type)}`, envelope)
  return { type, body, line, envelope }
}

/** The envelope of a parsed message; undefined if it is incomplete, or if a reply could start an endless exchange. */
function envelopeOf({ src, dest, body }: JsonObject): Envelope | undefined {
  if (typeof src !== 'string' || !isObject(body) || isReply(body) || !isMsgId(body['msg_id'])) return undefined
  return { src, dest: typeof dest === 'string' ? dest : '', msgId: body['msg_id'] }
}

/** The envelope in a line that is too large to parse. */
function scanEnvelope(line: Buffer): Envelope | undefined {
  const { src, dest, body } = rawMembers(line, 'src', 'dest', 'body')
  if (body === undefined) return undefined
  const { msg_id, in_reply_to } = rawMembers(body, 'msg_id', 'in_reply_to')
  return envelopeOf({
    src: scalar(src),
    dest: scalar(dest),
    body: { msg_id: scalar(msg_id), in_reply_to: scalar(in_reply_to) },
  })
}

/** The value of a JSON text; of an array or an object, which may be large, the text itself. */
function scalar(json: Buffer | undefined): unknown {
  return json === undefined || countElements(json) > 0 ? json : parse(json.toString())
}

/**
 * A reply as a line with its newline. Separators and the order of keys are those of Maelstrom's documentation.
 *
 * @param src the name of this node
 * @param request the envelope of the request
 * @param msgId the number of the reply itself
 */
export function formatReply(src: string, request: Envelope, reply: Reply, msgId: number): string {
  let fields = ''
  for (const name in reply.fields) fields += `, "${name}": ${formatValue(reply.fields[name]!)}`
  return (
    `{"src": ${JSON.stringify(src)}, "dest": ${JSON.stringify(request.src)}, ` +
    `"body": {"type": "${reply.type}", "in_reply_to": ${request.msgId}${fields}, "msg_id": ${msgId}}}\n`
  )
}

function formatValue(value: Value): string {
  if (typeof value === 'string') return JSON.stringify(value)
  return typeof value === 'number' ? String(value) : value.json
}

/** A value for an error text: as JSON, so that its type is seen, and short. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object'
  // Cut before it is quoted: it may be megabytes long.
  const cut = typeof value === 'string' && value.length > SHOWN_LENGTH
  const json = JSON.stringify(cut ? value.slice(0, SHOWN_LENGTH) : value)
  return cut ? `${json}…` : json
}

function malformed(reason: string, envelope?: Envelope): Malformed {
  return { reason, envelope }
}

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isMsgId = (value: unknown): value is number => Number.isSafeInteger(value)
const isReply = (body: JsonObject): boolean => isPresent(body['in_reply_to'])
/** Some libraries write a missing member as null. */
const isPresent = (member: unknown): boolean => member !== undefined && member !== null
