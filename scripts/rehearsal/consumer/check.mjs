// What a project with ES modules does: 4 MiB through a server and back.
import assert from 'node:assert/strict'

import { send, start, stats, stop } from 'echo-node'

const payload = Buffer.alloc(4 * 1024 * 1024, 'echo')
start()
const { echoed, bytes } = await send(payload)
assert.ok(echoed.equals(payload))
assert.equal(bytes, payload.length)
assert.equal(stats().totalBytes, payload.length)
await stop()
