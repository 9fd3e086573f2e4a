// This package's own server, started from JavaScript as its users start it.
//
// Usage: node echo-node.js HOST PORT [OPTIONS]
import { start, type StartOptions } from 'echo-node'

const [host = '127.0.0.1', port = '0', options = '{}'] = process.argv.slice(2)

console.log(start(Number(port), { host, ...(JSON.parse(options) as StartOptions) }))
