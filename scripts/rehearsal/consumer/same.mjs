// Whoever asks, and in whatever way, gets the same default server.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

import * as imported from 'echo-node'

const required = createRequire(import.meta.url)('echo-node')
assert.equal(imported.defaultServer, required.defaultServer)
for (const name of ['EchoServer', 'send', 'start', 'stats', 'stop']) assert.equal(imported[name], required[name])
