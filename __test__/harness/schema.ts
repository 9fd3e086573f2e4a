// Maelstrom's schemas. They are closed: an extra key breaks the rules as much as a missing one.

/** A message as it is on the wire. */
export interface Message {
  src: string
  dest: string
  id?: number
  body: Record<string, unknown>
}

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isInteger: Check = (value) => Number.isSafeInteger(value)
const isAnything: Check = () => true

const ENVELOPE = { src: isText, dest: isText, body: (value: unknown) => typeof value === 'object' && value !== null }
const REPLY = { type: isText, in_reply_to: isInteger, msg_id: isInteger }

/** The bodies that may come, besides what every reply has. */
const BODIES: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  error: { code: isInteger, text: isText },
  init_ok: {},
  echo_ok: { echo: isAnything },
  tcp_echo_start_ok: { status: (value) => value === 'listening', port: isInteger },
  tcp_echo_send_ok: { echoed: isText, bytes: isInteger },
  tcp_echo_stats_ok: { total_connections: isInteger, total_bytes: isInteger },
}

/** Reads a line that a node has written. Throws if it breaks a rule. */
export function readReply(line: string): Message {
  const message = JSON.parse(line) as Message
  closed(message, ENVELOPE, { id: isInteger })
  const body = BODIES[message.body['type'] as string]
  if (body === undefined) throw new Error(`unknown type ${String(message.body['type'])}`)
  closed(message.body, { ...REPLY, ...body })
  return message
}

function closed(value: object, required: Record<string, Check>, optional: Record<string, Check> = {}): void {
  for (const key of Object.keys(required)) if (!Object.hasOwn(value, key)) throw new Error(`no ${key}`)
  const all: Record<string, Check> = { ...required, ...optional }
  for (const [key, member] of Object.entries(value)) {
    if (!Object.hasOwn(all, key)) throw new Error(`unexpected ${key}`)
    if (!all[key]!(member)) throw new Error(`bad ${key}: ${JSON.stringify(member).slice(0, 80)}`)
  }
}
