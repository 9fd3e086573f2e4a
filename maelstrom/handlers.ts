import type { EchoServer } from '../index.ts'
import { rawMembers, respace } from './json.ts'
import type { Work } from './pipeline.ts'
import { ErrorCode, errorReply, type Reply, type Request } from './protocol.ts'

/** The `tcp_echo_…` requests, and the `echo` of Maelstrom's workload, each of the two with a server of its own. */
export class Handlers {
  readonly #tcpServer: EchoServer
  readonly #echoServer: EchoServer
  /** Work that waits keeps what it needs, and not the parsed body: that may be many times as large as its line. */
  readonly #byType = new Map<string, (request: Request) => Work>([
    ['tcp_echo_start', ({ body: { port } }) => ({ overlaps: false, run: () => this.#start(port) })],
    ['tcp_echo_send', ({ body: { data } }) => ({ overlaps: true, run: (timeLeft) => this.#send(data, timeLeft) })],
    ['tcp_echo_stats', () => ({ overlaps: false, run: () => this.#stats() })],
    [
      'echo',
      ({ body, line }) => {
        const json = body['echo'] === undefined ? undefined : line
        return { overlaps: true, run: (timeLeft) => this.#echo(json, timeLeft) }
      },
    ],
  ])

  constructor(tcpServer: EchoServer, echoServer: EchoServer) {
    this.#tcpServer = tcpServer
    this.#echoServer = echoServer
  }

  /** What to do for a request; undefined if nobody knows its type. */
  workFor(request: Request): Work | undefined {
    return this.#byType.get(request.type)?.(request)
  }

  /** Stops both servers. */
  async stop(): Promise<void> {
    await Promise.all([this.#tcpServer.stop(), this.#echoServer.stop()])
  }

  #start(given: unknown): Reply {
    // The API checks the rest, but would take this for any free port.
    if (given === undefined) return missing('port')
    const port = given as number
    const current = this.#tcpServer.port
    const isSame = current !== undefined && (port === 0 || port === current)
    try {
      const listening = isSame ? current : this.#tcpServer.start(port)
      return { type: 'tcp_echo_start_ok', fields: { status: 'listening', port: listening } }
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EADDRINUSE') return errorReply(ErrorCode.temporarilyUnavailable, `port ${port} is already in use`)
      if (code !== 'EACCES' && code !== 'EPERM') throw error
      return errorReply(ErrorCode.abort, `listening on port ${port} is not permitted`)
    }
  }

  async #send(data: unknown, timeLeft: number): Promise<Reply> {
    if (data === undefined) return missing('data')
    const { echoed, bytes } = await this.#tcpServer.send(data as string, { timeout: Math.ceil(timeLeft) })
    return { type: 'tcp_echo_send_ok', fields: { echoed, bytes } }
  }

  #stats(): Reply {
    const { totalConnections, totalBytes } = this.#tcpServer.stats()
    return { type: 'tcp_echo_stats_ok', fields: { total_connections: totalConnections, total_bytes: totalBytes } }
  }

  /** @param line the line of the request; undefined if it has no `echo` */
  async #echo(line: Buffer | undefined, timeLeft: number): Promise<Reply> {
    if (line === undefined) return missing('echo')
    // As it was written, because JSON.parse would change some numbers.
    const value = respace(rawMembers(rawMembers(line, 'body').body!, 'echo').echo!)
    if (!this.#echoServer.listening) this.#echoServer.start()
    const { echoed } = await this.#echoServer.send(value, { timeout: Math.ceil(timeLeft) })
    if (!value.equals(echoed)) return errorReply(ErrorCode.crash, 'the server returned other bytes than it was sent')
    return { type: 'echo_ok', fields: { echo: { json: echoed.toString() } } }
  }
}

function missing(name: string): Reply {
  return errorReply(ErrorCode.malformedRequest, `${name} is missing`)
}
