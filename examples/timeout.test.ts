// Does a client give up when no answer comes? The server accepts, and then neither reads nor echoes.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'

import { EchoServer } from 'echo-node'

/** The code under test: waits so many milliseconds for an answer. */
async function ask(port: number, question: string, patience: number): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(question)
  try {
    const [answer] = (await once(socket, 'data', { signal: AbortSignal.timeout(patience) })) as [Buffer]
    return answer.toString()
  } finally {
    socket.destroy()
  }
}

const server = new EchoServer()
before(() => server.start(0, { faults: { stallAfter: 0 } }))
after(() => server.stop())

test('the client gives up when no answer comes', async () => {
  await assert.rejects(ask(server.port!, 'hello', 50), { name: 'AbortError' })
})

test('the client waits for an answer that is only late', async () => {
  server.faults = { delay: 100 }
  assert.equal(await ask(server.port!, 'hello', 5000), 'hello')
})
