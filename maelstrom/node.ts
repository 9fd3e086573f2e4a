import type { Readable, Writable } from 'node:stream'

import { Handlers, type CreateServer } from './handlers.ts'
import { Lines, LINE_LIMIT } from './lines.ts'
import {
  ErrorCode,
  failure,
  formatReply,
  parseLine,
  show,
  type Address,
  type Malformed,
  type Reply,
  type Request,
} from './protocol.ts'
import { machineClock, Turns, type Clock, type Work } from './turns.ts'

/** Unanswered requests up to which input is taken. */
const MOST_REQUESTS = 1024
/** Bytes of unanswered requests up to which input is taken. */
const MOST_BYTES = 32 * 1024 * 1024
/** Characters of replies up to which they are collected for one write: what a pipe holds. */
const BATCH = 64 * 1024

/** What a node is given to work with. */
export interface NodeOptions {
  /** Requests, one JSON object a line. */
  input: Readable
  /** Replies, one JSON object a line, and nothing else. */
  output: Writable
  /** Told, in one line without its newline, what cannot be answered. */
  report: (line: string) => void
  /** Makes the servers that data is echoed through. */
  createServer: CreateServer
  /** Default: the machine's. */
  clock?: Clock
}

/** A Maelstrom node: takes requests from its input and writes the replies, in the same order, to its output. */
export class EchoNode {
  readonly #input: Readable
  readonly #output: Writable
  readonly #report: (line: string) => void
  readonly #clock: Clock
  readonly #handlers: Handlers
  readonly #lines: Lines
  readonly #turns: Turns<Address | undefined>
  /** The name that `init` gave. */
  #id: string | undefined
  #nextMsgId = 0
  /** When the lines at hand came in. */
  #arrival = 0
  #inputEnded = false
  /** Replies not written yet. */
  #batch = ''
  #stepScheduled = false
  /** The output has as much as it wants, and will say when it wants more. */
  #outputFull = false
  #finish: () => void = () => {}
  #fail: (error: unknown) => void = () => {}

  constructor({ input, output, report, createServer, clock = machineClock }: NodeOptions) {
    this.#input = input
    this.#output = output
    this.#report = report
    this.#clock = clock
    this.#handlers = new Handlers(createServer)
    this.#lines = new Lines(LINE_LIMIT, () => report(`skipped: a line has at most ${LINE_LIMIT} bytes`))
    this.#turns = new Turns(clock, (to, reply) => this.#send(to, reply))
  }

  /**
   * Serves until the input ends or `stop` is called: what was asked is then answered and written, and the servers are
   * stopped. Rejects as soon as the output fails: there is nobody left to answer.
   */
  async run(): Promise<void> {
    try {
      await new Promise<void>((resolve, reject) => {
        this.#finish = resolve
        this.#fail = reject
        this.#listen()
      })
      await new Promise<unknown>((resolve) => this.#output.write('', resolve))
    } finally {
      this.#turns.close()
      this.#input.destroy()
      await this.#handlers.stop()
    }
  }

  /** Takes no more input; what was asked before is still answered. */
  stop(): void {
    this.#lines.clear()
    this.#endInput()
  }

  #listen(): void {
    this.#output.on('drain', () => {
      this.#outputFull = false
      this.#step()
    })
    this.#output.on('error', this.#fail)
    this.#input.on('data', (chunk: Buffer) => {
      if (this.#inputEnded) return
      this.#arrival = this.#clock.now()
      this.#lines.push(chunk)
      this.#step()
    })
    this.#input.on('end', () => this.#endInput())
    this.#input.on('error', (error) => {
      this.#report(`cannot read requests: ${error.message}`)
      this.#endInput()
    })
    this.#step()
  }

  #endInput(): void {
    this.#inputEnded = true
    this.#step()
  }

  /** Takes as many of the lines at hand as there is room for, and writes what replies there are. */
  #step(): void {
    let more = this.#hasRoom()
    while (more) {
      const line = this.#lines.next() ?? (this.#inputEnded ? this.#lines.rest() : undefined)
      if (line === undefined) break
      this.#take(line)
      more = this.#hasRoom()
    }
    if (more) this.#input.resume()
    else this.#input.pause()
    this.#flush()
    if (more && this.#inputEnded && this.#turns.count === 0) this.#finish()
  }

  #hasRoom(): boolean {
    return !this.#outputFull && this.#turns.count < MOST_REQUESTS && this.#turns.size < MOST_BYTES
  }

  #take(line: Buffer): void {
    const message = parseLine(line)
    if ('reason' in message) this.#refuse(message, line.length)
    else this.#turns.add(message.replyTo, this.#workFor(message), line.length, this.#arrival)
  }

  #refuse({ reason, replyTo }: Malformed, size: number): void {
    this.#report(`malformed: ${reason}`)
    if (replyTo === undefined) return
    this.#turns.add(replyTo, answered(failure(ErrorCode.malformedRequest, reason)), size, this.#arrival)
  }

  #workFor(request: Request): Work {
    if (request.type === 'init') return { overlaps: false, run: () => this.#init(request.body['node_id']) }
    if (this.#id === undefined) {
      return answered(failure(ErrorCode.preconditionFailed, `init comes first, before ${show(request.type)}`))
    }
    const handler = this.#handlers.get(request.type)
    if (handler === undefined) {
      return answered(failure(ErrorCode.notSupported, `no request of this node: ${show(request.type)}`))
    }
    const work = handler(request)
    return 'run' in work ? work : answered(work)
  }

  #init(id: unknown): Reply {
    if (typeof id !== 'string' || id === '') {
      return failure(ErrorCode.malformedRequest, `node_id must be a name, but is ${show(id)}`)
    }
    if (this.#id !== undefined && this.#id !== id) {
      return failure(ErrorCode.preconditionFailed, `this node is already ${show(this.#id)}, not ${show(id)}`)
    }
    this.#id = id
    return { type: 'init_ok' }
  }

  #send(to: Address | undefined, reply: Reply): void {
    if (to === undefined) {
      if (reply.type === 'error') this.#report(`failed: ${show(reply.fields?.['text'])}`)
    } else {
      this.#batch += formatReply(this.#id ?? to.dest, to, reply, this.#nextMsgId++)
    }
    if (this.#batch.length >= BATCH) this.#flush()
    if (this.#stepScheduled) return
    // Replies that become ready in the same turn of the event loop go out in one write.
    this.#stepScheduled = true
    setImmediate(() => {
      this.#stepScheduled = false
      this.#step()
    })
  }

  #flush(): void {
    if (this.#batch === '') return
    const batch = this.#batch
    this.#batch = ''
    try {
      this.#outputFull = !this.#output.write(batch)
    } catch (error) {
      this.#fail(error)
    }
  }
}

/** Work that is done already. */
function answered(reply: Reply): Work {
  return { overlaps: true, run: () => reply }
}
