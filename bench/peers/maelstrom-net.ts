// The same Maelstrom node as this package's, on node:net instead of the engine: pipelined, replies in the order of the
// requests, one write for all replies of a turn, the same wire format to the byte.
//
// Usage: node maelstrom-net.js
import { exchange, listen, type Listening } from './maelstrom-net-tcp.ts'
import { body, envelope, type Field, type Request } from './maelstrom-net-wire.ts'

/** One request's place in the order of replies; the fields are there once the answer is known. */
interface Slot {
  request: Request
  fields: Field[] | undefined
}

const slots: Slot[] = []
/** Requests that must see the outcome of all earlier ones, and everything behind them. */
const waiting: Request[] = []
let nodeId = ''
let messageId = 0
let server: Listening | undefined
/** The server behind `echo`, apart from the one of `tcp_echo_start`. */
let echoServer: Promise<Listening> | undefined
let output = ''
let ended = false

/** Sends and echoes overlap with one another; anything else is alone. */
function overlaps({ body: { type } }: Request): boolean {
  return type === 'tcp_echo_send' || type === 'echo'
}

function mayRun(request: Request): boolean {
  return slots.length === 0 || (overlaps(request) && overlaps(slots[0]!.request))
}

/** Runs a request now if it may overlap with what is under way, else later. */
function accept(request: Request): void {
  if (waiting.length > 0 || !mayRun(request)) waiting.push(request)
  else run(request)
}

function run(request: Request): void {
  const slot: Slot = { request, fields: undefined }
  slots.push(slot)
  answer(request).then(
    (fields) => settle(slot, fields),
    (error: unknown) => settle(slot, failure(request, error)),
  )
}

function failure({ body: { msg_id } }: Request, error: unknown): Field[] {
  return [
    ['type', 'error'],
    ['in_reply_to', msg_id],
    ['code', 13],
    ['text', String(error)],
  ]
}

function settle(slot: Slot, fields: Field[]): void {
  slot.fields = fields
  while (slots[0]?.fields !== undefined) write(slots.shift()!)
  while (waiting.length > 0 && mayRun(waiting[0]!)) run(waiting.shift()!)
  endWhenDone()
}

/** Without servers nothing keeps the process alive any longer. */
function endWhenDone(): void {
  if (!ended || slots.length > 0) return
  server?.close()
  void echoServer?.then((listening) => listening.close())
}

function write({ request, fields }: Slot): void {
  if (output === '') setImmediate(flush)
  output += envelope(nodeId, request.src, body([...fields!, ['msg_id', messageId++]]))
}

function flush(): void {
  process.stdout.write(output)
  output = ''
}

async function answer({ body: asked }: Request): Promise<Field[]> {
  const reply: Field[] = [
    ['type', `${asked.type}_ok`],
    ['in_reply_to', asked.msg_id],
  ]
  switch (asked.type) {
    case 'init':
      nodeId = asked.node_id ?? ''
      return reply
    case 'tcp_echo_start':
      server ??= await listen(asked.port ?? 0)
      return [...reply, ['status', 'listening'], ['port', server.port]]
    case 'tcp_echo_send': {
      if (server === undefined) throw new Error('no server has been started')
      const echoed = await exchange(server.port, asked.data ?? '')
      return [...reply, ['echoed', echoed.toString()], ['bytes', echoed.length]]
    }
    case 'tcp_echo_stats':
      return [...reply, ['total_connections', server?.connections ?? 0], ['total_bytes', server?.bytes ?? 0]]
    case 'echo': {
      echoServer ??= listen(0)
      const echoed = await exchange((await echoServer).port, JSON.stringify(asked.echo))
      return [...reply, ['echo', JSON.parse(echoed.toString())]]
    }
    default:
      throw new Error(`${asked.type} is not supported`)
  }
}

let rest = ''
process.stdin.setEncoding('utf8')
process.stdin.on('data', (chunk: string) => {
  const lines = (rest + chunk).split('\n')
  rest = lines.pop()!
  for (const line of lines) if (line !== '') accept(JSON.parse(line) as Request)
})
process.stdin.on('end', () => {
  ended = true
  endWhenDone()
})
