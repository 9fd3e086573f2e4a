// This package's own server, started from JavaScript as its users start it.
//
// Usage: node echo-node.js HOST PORT [--block] [--options JSON]
import { parseArgs } from 'node:util'
import { start, type StartOptions } from 'echo-node'
import { blockAgainAndAgain } from './block.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { block: { type: 'boolean' }, options: { type: 'string', default: '{}' } },
})
const [host = '127.0.0.1', port = '0'] = positionals
const options = JSON.parse(values.options) as StartOptions

console.log(start(Number(port), { host, ...options }))
if (values.block) blockAgainAndAgain()
