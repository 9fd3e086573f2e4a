// Whoever asks, and in whatever way, gets the same default server.
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'

import { defaultServer, EchoServer, send, start, stats, stop } from 'echo-node'

const required = createRequire(import.meta.url)('echo-node')
const imported = { defaultServer, EchoServer, send, start, stats, stop }
for (const [name, value] of Object.entries(imported)) assert.equal(value, required[name], name)
