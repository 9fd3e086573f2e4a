// This package's own server, started from JavaScript as its users start it.
//
// Usage: node echo-node.js HOST PORT [OPTIONS]
import { defaultServer, start, type StartOptions } from 'echo-node'

const [host = '127.0.0.1', port = '0', json = '{}'] = process.argv.slice(2)
const { events, ...options } = JSON.parse(json) as StartOptions & { events?: number }

if (events) defaultServer.on('connection', () => {}).on('disconnect', () => {})

console.log(start(Number(port), { host, ...options }))
