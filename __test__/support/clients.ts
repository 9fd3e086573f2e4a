// Independent clients, on Node's own sockets.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { deferred, until, within } from '../../support/wait.ts'

/** A connection that remembers what came back. */
export class Client {
  readonly socket: Socket
  #received: Buffer[] = []
  /** How many bytes have come back. */
  bytes = 0
  /** The peer has ended its side. */
  ended = false
  /** The connection is over: by its end, or by an error. */
  closed = false
  /** The error that ended it. */
  error: NodeJS.ErrnoException | undefined

  private constructor(port: number, host: string) {
    this.socket = connect({ port, host, allowHalfOpen: true, noDelay: true })
    this.socket.on('data', (data: Buffer) => {
      this.#received.push(data)
      this.bytes += data.length
    })
    this.socket.on('end', () => (this.ended = true))
    this.socket.on('close', () => (this.closed = true))
    this.socket.on('error', (error) => (this.error = error))
  }

  /** Connects. A refusal is a failure; what comes later is remembered. */
  static async connect(port: number, host = '127.0.0.1'): Promise<Client> {
    const client = new Client(port, host)
    await once(client.socket, 'connect')
    return client
  }

  /** What has come back, all of it. */
  get received(): Buffer {
    if (this.#received.length > 1) this.#received = [Buffer.concat(this.#received)]
    return this.#received[0] ?? Buffer.alloc(0)
  }

  /** Writes, and waits until as much has come back. False if the connection is lost first. */
  async echo(text: string): Promise<boolean> {
    const wanted = this.bytes + Buffer.byteLength(text)
    this.socket.write(text)
    await until(`${wanted} bytes are back`, () => this.bytes >= wanted || this.ended || this.closed)
    return this.bytes === wanted && this.received.subarray(-text.length).toString() === text
  }

  /** Writes a byte, and waits until it is back. */
  async ping(): Promise<void> {
    const back = once(this.socket, 'data')
    this.socket.write('.')
    await back
  }

  /** Waits until the peer has ended the connection; the error, if it was not in order. */
  async end(): Promise<NodeJS.ErrnoException | undefined> {
    await until('the peer ends the connection', () => this.ended || this.closed)
    return this.error
  }

  /** Ends the connection in order, and waits until it is gone. */
  async close(): Promise<void> {
    this.socket.resume()
    this.socket.end()
    await until('the connection is gone', () => this.closed)
  }

  /** Ends it with a RST. */
  reset(): void {
    this.socket.resetAndDestroy()
  }
}

/** Connects, writes, ends, reads to the end: what came back. */
export async function roundTrip(port: number, data: string | Buffer, host = '127.0.0.1'): Promise<Buffer> {
  const socket = connect({ port, host, allowHalfOpen: true })
  const received: Buffer[] = []
  const over = deferred()
  socket.on('data', (chunk: Buffer) => received.push(chunk))
  socket.on('end', over.resolve)
  socket.on('error', over.reject)
  socket.end(data)
  await within('a round trip', over.promise, 60_000)
  return Buffer.concat(received)
}

/** Runs a task for each of the numbers from 0 to `count` - 1, `width` at a time. */
export async function parallel(count: number, width: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < count) await task(next++)
  }
  await Promise.all(Array.from({ length: Math.min(width, count) }, worker))
}
