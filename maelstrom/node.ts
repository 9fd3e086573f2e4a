import type { Readable, Writable } from 'node:stream'

import { now } from '../api/timers.ts'
import type { EchoServer } from '../index.ts'
import { Handlers } from './handlers.ts'
import { LINE_LIMIT, LineSplitter } from './lines.ts'
import { Pipeline, type Work } from './pipeline.ts'
import { ErrorCode, errorReply, formatReply, parseLine, show, TIME_LIMIT } from './protocol.ts'
import type { Envelope, Reply, Request } from './protocol.ts'

/** Unanswered requests above which no input is taken. */
const MOST_REQUESTS = 1024
/** Bytes of unanswered requests above which no input is taken. */
const MOST_BYTES = 32 * 1024 * 1024
/** Milliseconds of reading lines after which signals, timers and replies have their turn. */
const SLICE = 10
/** Characters of a node's name, which every reply repeats. */
const LONGEST_ID = 1000
const TOO_LONG = `skipped a line of more than ${LINE_LIMIT} bytes`
/** Characters of replies to collect for one write: as much as a pipe holds. */
const BATCH = 64 * 1024

/** What a node works with. */
export interface NodeOptions {
  /** Requests, one JSON object per line. */
  input: Readable
  /** Replies, one JSON object per line, and nothing else. */
  output: Writable
  /** Called with one line, without its newline, about what cannot be answered. */
  report: (line: string) => void
  /** Makes the servers that the data goes through. Called twice, and after `init`: loading the engine delays no init_ok. */
  createServer: () => EchoServer
}

/**
 * A Maelstrom node: reads requests from its input, and writes the replies to its output in the same order.
 *
 * Each request is answered within 4 s of the read(2) that brought its end; the time does not count in which the output is full.
 * While 1,024 requests or 32 MiB are unanswered, no request is taken. At most 256 KiB more are read already, and their time runs.
 */
export class EchoNode {
  readonly #options: NodeOptions
  readonly #pipeline = new Pipeline()
  #handlers: Handlers | undefined
  /** The name that `init` gave. */
  #id: string | undefined
  #nextMsgId = 0
  #unansweredBytes = 0
  /** Replies to be written. */
  #batch = ''
  /** Settled when the last batch, and so every one before it, is written. */
  #written = Promise.resolve()
  readonly #splitter = new LineSplitter(LINE_LIMIT, () => this.#options.report(TOO_LONG))
  #isInputOver = false
  /** The input ends where a line ends: not where an error or `stop` ended it. */
  #isComplete = true
  #inputError: Error | undefined
  /** How long requests have waited because nobody read the replies, and since when they do, in milliseconds. */
  readonly #unread = { time: 0, since: undefined as number | undefined }
  /** How many bytes of the input had been read by when, less the time that nobody read the replies. Node.js reads ahead while lines wait for room. */
  readonly #reads: { bytes: number; at: number }[] = []
  /** Bytes of the input that have come out of the stream. */
  #bytesTaken = 0
  /** Ends a wait for input, or for its end. */
  #onInput: () => void = () => {}
  /** Ends a wait for room. */
  #onRoom: () => void = () => {}

  constructor(options: NodeOptions) {
    this.#options = options
  }

  /**
   * Serves until the input ends or `stop` is called. Then it answers what has been asked, and stops the servers.
   * Rejects as soon as the output fails or there is no engine, and at the end if the input could not be read.
   */
  async run(): Promise<void> {
    const { output } = this.#options
    const failure = new Promise<never>((_, reject) => {
      output.on('error', (error) => reject(explained('cannot write replies', error)))
    })
    output.on('drain', () => this.#onRoom())
    try {
      await Promise.race([this.#serve(), failure])
    } finally {
      this.stop()
      await this.#handlers?.stop()
    }
    if (this.#inputError !== undefined) throw explained('cannot read requests', this.#inputError)
  }

  /** Reads no more input. Requests that were read before are still answered. */
  stop(): void {
    this.#options.input.destroy()
    this.#endInput(false)
  }

  async #serve(): Promise<void> {
    const { input } = this.#options
    // Not as an async iterator, which makes one request at a time a twentieth slower.
    input.on('readable', () => {
      this.#reads.push({ bytes: this.#bytesTaken + input.readableLength, at: this.#now() })
      this.#onInput()
    })
    input.on('end', () => this.#endInput(true))
    input.on('error', (error) => this.#endInput(false, error))
    for (;;) {
      const chunk = input.read() as Buffer | null
      this.#bytesTaken += chunk?.length ?? 0
      if (chunk !== null) await this.#takeLines(this.#splitter.push(chunk), this.#readAt())
      else if (this.#isInputOver) break
      else await new Promise<void>((resolve) => (this.#onInput = resolve))
    }
    if (this.#isComplete) await this.#takeLines(this.#splitter.end(), this.#now())
    await this.#pipeline.drained
    this.#flush()
    await this.#written
  }

  #endInput(isComplete: boolean, error?: Error): void {
    if (!this.#isInputOver) [this.#isComplete, this.#inputError] = [isComplete, error]
    this.#isInputOver = true
    this.#onInput()
  }

  /** When the last bytes that were taken had been read. Of reads that come together the stream may tell only the first. */
  #readAt(): number {
    while (this.#reads.length > 1 && this.#reads[0]!.bytes < this.#bytesTaken) this.#reads.shift()
    return this.#reads[0]?.at ?? this.#now()
  }

  /** The time, without that in which requests waited because nobody read the replies. */
  #now(): number {
    return (this.#unread.since ?? now()) - this.#unread.time
  }

  async #takeLines(lines: Buffer[], readAt: number): Promise<void> {
    let sliceEnd = now() + SLICE
    for (const line of lines) {
      while (!this.#hasRoom()) await this.#room()
      if (now() > sliceEnd) {
        await new Promise((resolve) => setImmediate(resolve))
        sliceEnd = now() + SLICE
      }
      if (this.#id !== undefined) this.#handlers ??= this.#makeHandlers()
      this.#take(line, readAt + this.#unread.time + TIME_LIMIT)
    }
  }

  async #room(): Promise<void> {
    if (this.#options.output.writableNeedDrain) this.#unread.since = now()
    await new Promise<void>((resolve) => (this.#onRoom = resolve))
    if (this.#unread.since !== undefined) this.#unread.time += now() - this.#unread.since
    this.#unread.since = undefined
  }

  #hasRoom(): boolean {
    const isFull = this.#options.output.writableNeedDrain
    return !isFull && this.#pipeline.pending < MOST_REQUESTS && this.#unansweredBytes < MOST_BYTES
  }

  #makeHandlers(): Handlers {
    // Loading may fail and end the process: init_ok leaves first.
    this.#flush()
    return new Handlers(this.#options.createServer(), this.#options.createServer())
  }

  #take(line: Buffer, deadline: number): void {
    const message = parseLine(line)
    const { envelope } = message
    const isMalformed = 'reason' in message
    if (isMalformed) this.#options.report(`malformed: ${message.reason}`)
    if (isMalformed && envelope === undefined) return
    const work = isMalformed ? errorReply(ErrorCode.malformedRequest, message.reason) : this.#workFor(message)
    this.#unansweredBytes += line.length
    this.#pipeline.add(work, deadline, (reply) => {
      this.#unansweredBytes -= line.length
      this.#answer(envelope, reply)
      this.#onRoom()
    })
  }

  #workFor(request: Request): Work | Reply {
    const { type, body } = request
    // Done as it is read: the requests behind it need the name.
    if (type === 'init') return this.#init(body['node_id'])
    if (this.#id === undefined) {
      return errorReply(ErrorCode.preconditionFailed, `init must come before ${show(type)}`)
    }
    const work = this.#handlers?.workFor(request)
    return work ?? errorReply(ErrorCode.notSupported, `not supported: ${show(type)}`)
  }

  #init(id: unknown): Reply {
    if (typeof id !== 'string' || id === '' || id.length > LONGEST_ID) {
      const expected = `a non-empty string of at most ${LONGEST_ID} characters`
      return errorReply(ErrorCode.malformedRequest, `node_id must be ${expected}, got ${show(id)}`)
    }
    if (this.#id !== undefined && this.#id !== id) {
      return errorReply(ErrorCode.preconditionFailed, `this node is already ${show(this.#id)}, got ${show(id)}`)
    }
    this.#id = id
    return { type: 'init_ok' }
  }

  #answer(request: Envelope | undefined, reply: Reply): void {
    if (request === undefined) {
      if (reply.type === 'error') this.#options.report(`failed: ${show(reply.fields?.['text'])}`)
      return
    }
    // Replies that are ready in the same turn of the event loop leave in one write.
    if (this.#batch === '') setImmediate(() => this.#flush())
    this.#batch += formatReply(this.#id ?? request.dest, request, reply, this.#nextMsgId++)
    if (this.#batch.length >= BATCH) this.#flush()
  }

  #flush(): void {
    const batch = this.#batch
    this.#batch = ''
    if (batch === '') return
    this.#written = new Promise((resolve) => {
      // The output tells of its error itself.
      this.#options.output.write(batch, (error) => error ?? resolve())
    })
  }
}

/** The error of a stream, with what it means. */
function explained(meaning: string, error: Error): Error {
  return Object.assign(error, { message: `${meaning}: ${error.message}` })
}
