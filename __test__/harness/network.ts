// A network as Maelstrom has it: nodes are processes that are read line by line, clients are names that ask and wait.

import { once } from 'node:events'
import { tmpdir } from 'node:os'

import { execa } from 'execa'

import { mortal } from '../../support/children.ts'
import { EXECUTABLE } from '../../support/paths.ts'
import { readReply, type Message } from './schema.ts'

/** Milliseconds a client waits. */
const PATIENCE = 5000
const NEWLINE = 0x0a

/** How a request went: ok with the reply's body, fail if it is an error that says so, info if nobody knows. */
export interface Outcome {
  kind: 'ok' | 'fail' | 'info'
  body: Record<string, unknown>
}

/** Nodes and clients, and what the nodes have done wrong. */
export class Network {
  readonly nodes = new Map<string, Node>()
  readonly clients = new Map<string, Client>()
  readonly violations: string[] = []
  #nextId = 0

  /** Starts so many nodes of a program, and gives them their names. */
  static async start(count: number, command: readonly string[] = [EXECUTABLE]): Promise<Network> {
    const network = new Network()
    const ids = Array.from({ length: count }, (_, index) => `n${index}`)
    for (const id of ids) network.nodes.set(id, new Node(id, network, command))
    await Promise.all(
      ids.map(async (id, index) => {
        const { body } = await network.client(`c${index}`).ask(id, { type: 'init', node_id: id, node_ids: ids })
        if (body['type'] !== 'init_ok') throw new Error(`${id} did not start: ${JSON.stringify(body)}`)
      }),
    )
    return network
  }

  client(id: string): Client {
    const client = this.clients.get(id) ?? new Client(id, this)
    this.clients.set(id, client)
    return client
  }

  /** Brings a message to its node. Like Maelstrom, with an id that counts the messages. */
  toNode({ src, dest, body }: Message): void {
    this.nodes.get(dest)!.write(JSON.stringify({ id: this.#nextId++, src, dest, body }))
  }

  /** Brings a message to its client. False if there is no such client: the sender has broken the rules. */
  toClient(message: Message): boolean {
    const client = this.clients.get(message.dest)
    return client !== undefined && !client.closed && client.take(message)
  }

  /** Kills the nodes. One that ended before has crashed. */
  async kill(): Promise<void> {
    await Promise.all([...this.nodes.values()].map((node) => node.kill()))
  }
}

/** One process of the executable. */
class Node {
  readonly #id: string
  readonly #network: Network
  readonly #process
  readonly #exit: Promise<unknown>
  #partial: Buffer[] = []
  #deaf = false
  #stderr = ''

  constructor(id: string, network: Network, command: readonly string[]) {
    this.#id = id
    this.#network = network
    this.#process = execa(...mortal(command), { cwd: tmpdir(), buffer: false, reject: false })
    this.#exit = once(this.#process, 'close')
    this.#process.on('exit', (code, signal) => {
      if (signal !== 'SIGKILL') this.#violation(`exit ${code ?? signal}`)
    })
    this.#process.stdin.on('error', () => {})
    this.#process.stdout.on('data', (chunk: Buffer) => this.#read(chunk))
    this.#process.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()))
  }

  write(line: string): void {
    this.#process.stdin.write(`${line}\n`)
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#exit
  }

  #read(chunk: Buffer): void {
    let at = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, at)) {
      const line = Buffer.concat([...this.#partial, chunk.subarray(at, end)]).toString()
      this.#partial = []
      at = end + 1
      if (!this.#deaf) this.#take(line)
    }
    if (at < chunk.length) this.#partial.push(chunk.subarray(at))
  }

  #take(line: string): void {
    try {
      const message = readReply(line)
      if (message.src !== this.#id) throw new Error(`sent as ${message.src}`)
      if (!this.#network.toClient(message)) throw new Error(`nobody at ${message.dest} is waiting for it`)
    } catch (error) {
      // Maelstrom's reader of this node stops here: it hears nothing more from the node.
      this.#deaf = true
      this.#violation(`${(error as Error).message}: ${line.slice(0, 200)}`)
    }
  }

  #violation(what: string): void {
    this.#network.violations.push(`${this.#id}: ${what}; stderr: ${this.#stderr.slice(-500)}`)
  }
}

/** A client, which asks one thing after the other. */
export class Client {
  readonly id: string
  readonly #network: Network
  #nextMsgId = 0
  #waiting: { msgId: number; answer: (body: Record<string, unknown>) => void } | undefined
  /** It once got no reply in time: Maelstrom gives up such a client. */
  closed = false

  constructor(id: string, network: Network) {
    this.id = id
    this.#network = network
  }

  /** Sends a request, and waits for its reply, at most 5 s. */
  async ask(dest: string, body: Record<string, unknown>): Promise<Outcome> {
    const msgId = ++this.#nextMsgId
    const answer = new Promise<Record<string, unknown> | undefined>((resolve) => {
      const timer = setTimeout(() => resolve(undefined), PATIENCE)
      this.#waiting = {
        msgId,
        answer: (reply) => {
          clearTimeout(timer)
          resolve(reply)
        },
      }
    })
    this.#network.toNode({ src: this.id, dest, body: { ...body, msg_id: msgId } })
    const reply = await answer
    this.#waiting = undefined
    if (reply === undefined) this.closed = true
    return judge(reply)
  }

  /** Takes a reply. False if it waits for another one, or for none. */
  take({ body }: Message): boolean {
    if (this.#waiting?.msgId !== body['in_reply_to']) return false
    this.#waiting!.answer(body)
    return true
  }
}

function judge(body: Record<string, unknown> | undefined): Outcome {
  if (body === undefined) return { kind: 'info', body: {} }
  if (body['type'] !== 'error') return { kind: 'ok', body }
  // 0 is a timeout, 13 a crash: the request may have been carried out.
  return { kind: body['code'] === 0 || body['code'] === 13 ? 'info' : 'fail', body }
}
