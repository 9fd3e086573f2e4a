// Does a client stop writing while the server does not read? Otherwise its memory grows with what it cannot send.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'

import { EchoServer } from 'echo-node'

/** The code under test: writes as fast as the socket takes it. */
async function pump(socket: Socket, total: number): Promise<void> {
  const block = Buffer.alloc(64 * 1024)
  for (let sent = 0; sent < total; sent += block.length) {
    if (!socket.write(block)) await once(socket, 'drain')
  }
}

const server = new EchoServer()
before(() => server.start(0, { faults: { stallAfter: 0 } }))
after(() => server.stop({ timeout: 0 }))

test('the client holds no more than a block while the server does not read', async () => {
  const socket = connect(server.port!)
  socket.on('error', () => {})
  void pump(socket, 1024 ** 3).catch(() => {})
  let sent = -1
  // Until the buffers of the kernel are full.
  for (; socket.bytesWritten !== sent || sent < 64 * 1024; await sleep(100)) sent = socket.bytesWritten
  assert.ok(socket.writableLength <= 64 * 1024)
  socket.destroy()
})
