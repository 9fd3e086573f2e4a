// Does a client come back after its connection was reset? With node:test; the same works in vitest, jest and ava.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'

import { EchoServer, type Connection } from 'echo-node'

/** The client under test: it connects again whenever its connection is lost. */
class Client {
  #socket: Socket | undefined
  #isClosed = false
  readonly #port: number

  constructor(port: number) {
    this.#port = port
    this.#connect()
  }

  #connect(): void {
    this.#socket = connect(this.#port)
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => this.#isClosed || this.#connect())
  }

  async ask(question: string): Promise<string> {
    this.#socket!.write(question)
    const [answer] = (await once(this.#socket!, 'data')) as [Buffer]
    return answer.toString()
  }

  close(): void {
    this.#isClosed = true
    this.#socket!.end()
  }
}

const server = new EchoServer()
after(() => server.stop())

test('the client connects again after a reset', async () => {
  const client = new Client(server.start())
  const [first] = (await once(server, 'connection')) as [Connection]
  assert.equal(await client.ask('hello'), 'hello')

  const second = once(server, 'connection')
  first.reset()
  await second
  assert.equal(await client.ask('still there?'), 'still there?')
  client.close()
})
