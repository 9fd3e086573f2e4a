// The same Maelstrom node as this package's, on node:net instead of the engine: pipelined, replies in the order of the
// requests, one write for all replies of a turn, the same wire format to the byte. It has no `echo`.
//
// Usage: node maelstrom-net.js
import { once } from 'node:events'
import { connect, createServer, type AddressInfo } from 'node:net'

/** A line of standard input. */
interface Request {
  src: string
  body: { type: string; msg_id: number; node_id?: string; port?: number; data?: string }
}

/** As many exchanges run at once as in this package's own node; more would be slower. */
const MOST_AT_ONCE = 64

const stats = { total_connections: 0, total_bytes: 0 }
const server = createServer((socket) => {
  stats.total_connections += 1
  socket.on('error', () => socket.destroy())
  socket.on('data', (chunk: Buffer) => (stats.total_bytes += chunk.length))
  socket.pipe(socket)
})
const port = (): number => (server.address() as AddressInfo).port

let underWay = 0
const queue: (() => void)[] = []

/** Sends data over a connection of its own, half-closes, and returns what came back. */
async function exchange(data: string): Promise<Buffer> {
  if (underWay >= MOST_AT_ONCE) await new Promise<void>((resolve) => queue.push(resolve))
  underWay += 1
  try {
    return await new Promise((resolve, reject) => {
      const chunks: Buffer[] = []
      const socket = connect({ host: '127.0.0.1', port: port() })
      socket.on('data', (chunk: Buffer) => chunks.push(chunk))
      socket.once('end', () => resolve(Buffer.concat(chunks)))
      socket.once('error', reject)
      socket.end(data)
    })
  } finally {
    underWay -= 1
    queue.shift()?.()
  }
}

let nodeId = ''

/** Carries a request out. Returns the fields of its reply. */
async function answer({ body }: Request): Promise<object> {
  if (body.type === 'init') nodeId = body.node_id ?? ''
  else if (body.type === 'tcp_echo_start') {
    if (!server.listening) await once(server.listen({ host: '127.0.0.1', port: body.port, backlog: 511 }), 'listening')
    return { status: 'listening', port: port() }
  } else if (body.type === 'tcp_echo_send') {
    const echoed = await exchange(body.data ?? '')
    return { echoed: echoed.toString(), bytes: echoed.length }
  } else if (body.type === 'tcp_echo_stats') return stats
  else throw new Error(`${body.type} is not supported`)
  return {}
}

let messageId = 0
let output = ''

function write({ src, body: { type, msg_id } }: Request, fields: object): void {
  if (output === '') setImmediate(flush)
  const all = { type: `${type}_ok`, in_reply_to: msg_id, ...fields, msg_id: messageId++ }
  const body = Object.entries(all).map(([key, value]) => `"${key}": ${JSON.stringify(value)}`)
  output += `{"src": "${nodeId}", "dest": "${src}", "body": {${body.join(', ')}}}\n`
}

function flush(): void {
  process.stdout.write(output)
  output = ''
}

/** Resolves once all replies so far are written. */
let replies: Promise<unknown> = Promise.resolve()
/** Resolves once the last request is answered that runs alone. */
let alone: Promise<unknown> = Promise.resolve()

/** Sends overlap with one another; anything else waits for all earlier requests, and all later ones wait for it. */
function accept(request: Request): void {
  const overlaps = request.body.type === 'tcp_echo_send'
  const answered = (overlaps ? alone : replies).then(() => answer(request))
  if (!overlaps) alone = answered
  replies = replies.then(async () => write(request, await answered))
}

let rest = ''
process.stdin.setEncoding('utf8')
process.stdin.on('data', (chunk: string) => {
  const lines = (rest + chunk).split('\n')
  rest = lines.pop()!
  for (const line of lines) if (line !== '') accept(JSON.parse(line) as Request)
})
process.stdin.on('end', () => void replies.then(() => server.close()))
