// A node in the process of the test, with streams that the test controls and the real engine.

import { PassThrough, Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'

import { EchoServer, type Echo, type SendOptions } from 'echo-node'
import { EchoNode } from '../../maelstrom/node.ts'
import { bodies, INIT } from './command.ts'
import { deferred, until } from '../../support/wait.ts'

/** A server whose sends wait until the test lets them go to the real one. */
export class GatedServer extends EchoServer {
  readonly gates: ReturnType<typeof deferred<void>>[] = []

  override send(data: string, options?: SendOptions): Promise<Echo<string>>
  override send(data: Uint8Array, options?: SendOptions): Promise<Echo<Buffer>>
  override async send(data: string | Uint8Array): Promise<Echo<string | Buffer>> {
    const gate = deferred()
    this.gates.push(gate)
    await gate.promise
    return super.send(data as string)
  }
}

/** An output that takes what it is given, or holds it back. */
export class Output extends Writable {
  text = ''
  writes = 0
  /** Replies so far. */
  count = 0
  #release: (() => void) | undefined
  /** Called for each reply. */
  onReply: () => void = () => {}
  /** Takes nothing more until `release`. */
  held = false

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.text += chunk.toString()
    this.writes++
    for (let at = chunk.indexOf('\n'); at >= 0; at = chunk.indexOf('\n', at + 1)) {
      this.count++
      this.onReply()
    }
    if (this.held) this.#release = done
    else done()
  }

  release(): void {
    this.held = false
    this.#release?.()
  }

  /** The bodies of the replies so far. */
  get replies(): Record<string, unknown>[] {
    return bodies(this.text)
  }
}

/** What calls back when a test is over, however it ends. */
interface Test {
  teardown(end: () => Promise<unknown>): void
}

/** A node with its surroundings. It ends with the test: a server that listens would keep a failed one running. */
export class Lab<S extends EchoServer = EchoServer> {
  readonly input = new PassThrough()
  readonly output: Output
  readonly reports: string[] = []
  readonly servers: S[] = []
  readonly node: EchoNode
  readonly ended: Promise<void>

  constructor(t: Test, makeServer: () => S, output = new Output()) {
    this.output = output
    this.node = new EchoNode({
      input: this.input,
      output,
      report: (line) => this.reports.push(line),
      createServer: () => {
        const server = makeServer()
        this.servers.push(server)
        return server
      },
    })
    this.ended = this.node.run()
    // Whoever waits for the end hears of a failure.
    this.ended.catch(() => {})
    t.teardown(() => this.#abandon())
  }

  /** A node that has its name and, on a free port, its server. */
  static async started<S extends EchoServer>(t: Test, makeServer: () => S, output?: Output): Promise<Lab<S>> {
    const lab = new Lab(t, makeServer, output)
    lab.write([INIT, '{"src":"c0","dest":"n1","body":{"type":"tcp_echo_start","msg_id":1,"port":0}}'])
    await lab.answered(2)
    return lab
  }

  /** The server of `tcp_echo_start`. */
  get server(): S {
    return this.servers[0]!
  }

  /** Writes these lines in one chunk. */
  write(lines: string[]): void {
    this.input.write(`${lines.join('\n')}\n`)
  }

  /** Waits for so many replies in all, and returns them. */
  async answered(count: number): Promise<Record<string, unknown>[]> {
    await until(`${count} replies`, () => this.output.count >= count)
    return this.output.replies
  }

  /** Lets everything happen that needs no time and nobody else. */
  async settle(): Promise<void> {
    for (let count = 0; count < 10; count++) await turn()
  }

  /** Ends the input, and waits for the end of the node. */
  async close(): Promise<void> {
    this.input.end()
    await this.ended
  }

  async #abandon(): Promise<void> {
    this.node.stop()
    await Promise.all(this.servers.map((server) => server.stop({ timeout: 0 })))
  }
}
