// Does a client try again when its first connection is reset? The server resets every other connection, beginning with the
// first.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'

import { EchoServer } from 'echo-node'

/** The code under test: asks once more if the connection is lost. */
async function ask(port: number, question: string, attempts = 2): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.end(question)
  try {
    const [answer] = (await once(socket, 'data')) as [Buffer]
    return answer.toString()
  } catch (error) {
    if (attempts === 1) throw error
    return ask(port, question, attempts - 1)
  }
}

const server = new EchoServer()
after(() => server.stop())

test('the client tries again after a reset', async () => {
  const port = server.start(0, { faults: { resetAfter: 0, share: 0.5 } })
  assert.equal(await ask(port, 'hello'), 'hello')
  assert.equal(server.stats().totalConnections, 2)
})

test('the client gives up after two resets', async () => {
  server.faults = { resetAfter: 0 }
  // By a write; macOS says EPIPE then.
  await assert.rejects(ask(server.port!, 'hello'), { code: /^(ECONNRESET|EPIPE)$/ })
})
