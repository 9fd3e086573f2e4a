import { rawMember, respace } from './json.ts'
import { ErrorCode, failure, show, timedOut, type Reply, type Request } from './protocol.ts'
import type { Work } from './turns.ts'

const LAST_PORT = 65_535

/** What the node needs of an echo server; `EchoServer` is one. */
export interface TcpServer {
  readonly port: number | undefined
  start(port: number): number
  send(data: string, options: { timeout: number }): Promise<{ echoed: string; bytes: number }>
  send(data: Uint8Array, options: { timeout: number }): Promise<{ echoed: Uint8Array; bytes: number }>
  stats(): { totalConnections: number; totalBytes: number }
  stop(): Promise<void>
}

/** Makes a server that does not listen yet. May take its time: the engine is loaded when it is first needed. */
export type CreateServer = () => TcpServer | Promise<TcpServer>

/** What one type of request does. A body that asks for nothing possible is answered at once, with the reply itself. */
export type Handler = (request: Request) => Work | Reply

/** The requests of the mission and of Maelstrom's stock `echo` workload, each of the two with a server of its own. */
export class Handlers {
  readonly #asked: Server
  readonly #own: Server
  readonly #byType: ReadonlyMap<string, Handler>

  constructor(createServer: CreateServer) {
    this.#asked = new Server(createServer)
    this.#own = new Server(createServer)
    this.#byType = new Map<string, Handler>([
      ['tcp_echo_start', (request) => this.#start(request)],
      ['tcp_echo_send', (request) => this.#send(request)],
      ['tcp_echo_stats', () => this.#stats],
      ['echo', (request) => this.#echo(request)],
    ])
  }

  /** The handler for a type of request, if there is one. */
  get(type: string): Handler | undefined {
    return this.#byType.get(type)
  }

  /** Stops both servers, as far as they have been started. */
  async stop(): Promise<void> {
    await Promise.all([this.#asked.current?.stop(), this.#own.current?.stop()])
  }

  #start({ body }: Request): Work | Reply {
    const { port } = body
    if (!isPort(port)) {
      return malformed(`port must be an integer from 0 to ${LAST_PORT}, but is ${show(port)}`)
    }
    return { overlaps: false, run: () => this.#listen(port) }
  }

  async #listen(port: number): Promise<Reply> {
    const server = this.#asked.current ?? (await this.#asked.create())
    const current = server.port
    if (current !== undefined && port !== 0 && port !== current) {
      return failure(ErrorCode.preconditionFailed, `already listening on port ${current}, not on ${port}`)
    }
    try {
      return { type: 'tcp_echo_start_ok', fields: { status: 'listening', port: current ?? server.start(port) } }
    } catch (error) {
      return startFailure(port, error)
    }
  }

  #send({ body }: Request): Work | Reply {
    const { data } = body
    if (typeof data !== 'string') return malformed(`data must be a string, but is ${show(data)}`)
    if (!data.isWellFormed()) {
      return malformed(`data must be well-formed Unicode, but has a lone surrogate: ${show(data)}`)
    }
    return { overlaps: true, run: (timeLeft) => this.#exchange(data, timeLeft) }
  }

  #exchange(data: string, timeLeft: number): Reply | Promise<Reply> {
    const server = this.#asked.current
    if (server?.port === undefined) {
      return failure(ErrorCode.preconditionFailed, 'no server to send to: tcp_echo_start comes first')
    }
    return server.send(data, { timeout: wholeMilliseconds(timeLeft) }).then(sent, sendFailure)
  }

  readonly #stats: Work = {
    overlaps: false,
    run: () => {
      const { totalConnections, totalBytes } = this.#asked.current?.stats() ?? { totalConnections: 0, totalBytes: 0 }
      return { type: 'tcp_echo_stats_ok', fields: { total_connections: totalConnections, total_bytes: totalBytes } }
    },
  }

  #echo({ body, line }: Request): Work | Reply {
    if (!Object.hasOwn(body, 'echo')) return malformed('echo must be some JSON, but is missing')
    // As it was written, for the sake of numbers that JSON.parse would change.
    const value = respace(rawMember('echo', rawMember('body', line)!)!)
    return { overlaps: true, run: (timeLeft) => this.#echoThroughTcp(value, timeLeft) }
  }

  async #echoThroughTcp(value: Buffer, timeLeft: number): Promise<Reply> {
    try {
      const server = this.#own.current ?? (await this.#own.create())
      if (server.port === undefined) server.start(0)
      const { echoed } = await server.send(value, { timeout: wholeMilliseconds(timeLeft) })
      if (!value.equals(echoed)) return failure(ErrorCode.crash, 'what came back is not what was sent')
      return { type: 'echo_ok', fields: { echo: { json: decode(echoed) } } }
    } catch (error) {
      return sendFailure(error)
    }
  }
}

/** A server that is made when it is first needed, once. */
class Server {
  readonly #createServer: CreateServer
  #creating: Promise<TcpServer> | undefined
  current: TcpServer | undefined

  constructor(createServer: CreateServer) {
    this.#createServer = createServer
  }

  create(): Promise<TcpServer> {
    this.#creating ??= this.#create()
    return this.#creating
  }

  async #create(): Promise<TcpServer> {
    this.current = await this.#createServer()
    return this.current
  }
}

function sent({ echoed, bytes }: { echoed: string; bytes: number }): Reply {
  return { type: 'tcp_echo_send_ok', fields: { echoed, bytes } }
}

function malformed(text: string): Reply {
  return failure(ErrorCode.malformedRequest, text)
}

function startFailure(port: number, error: unknown): Reply {
  switch (codeOf(error)) {
    case 'EADDRINUSE':
      return failure(ErrorCode.temporarilyUnavailable, `port ${port} is already in use`)
    case 'EACCES':
    case 'EPERM':
      return failure(ErrorCode.abort, `listening on port ${port} is not permitted`)
    default:
      return failure(ErrorCode.crash, `cannot listen on port ${port}: ${messageOf(error)}`)
  }
}

function sendFailure(error: unknown): Reply {
  return codeOf(error) === 'ETIMEDOUT'
    ? timedOut()
    : failure(ErrorCode.crash, `the data did not come back: ${messageOf(error)}`)
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

function isPort(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LAST_PORT
}

/** A timeout for the engine, which takes whole milliseconds and no 0. */
function wholeMilliseconds(timeLeft: number): number {
  return Math.max(1, Math.ceil(timeLeft))
}

function decode(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
}
