// A worker that uses the default server, says what it has seen, and stops it.

import { send, start, stats, stop } from 'echo-node'
import { tell } from './to-parent.ts'

const port = start()
await send('hello')
tell({ port, totalConnections: stats().totalConnections })
await stop()
