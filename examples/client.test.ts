// A test of a TCP client against a real server: node --test examples/client.test.ts (Node.js 22.18 or later).

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'

import { EchoServer } from 'echo-node'

const server = new EchoServer()
before(() => server.start())
after(() => server.stop())

test('the client gets back what it sends', async () => {
  const client = connect(server.port!)
  client.end('ping')
  const [data] = (await once(client, 'data')) as [Buffer]
  assert.equal(data.toString(), 'ping')
  assert.equal(server.stats().totalBytes, 4)
})
