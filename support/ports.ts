// Ports for servers that are started again on the same one: below the range of ephemeral ports, where a client's own port
// could take it in between.

import { once } from 'node:events'
import { createServer } from 'node:net'

const FIRST = 10_000
const LAST = 32_000

// Test files run in processes of their own at the same time: a range for each.
let next = FIRST + (process.pid % 200) * 100

/** A port of 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = next
    next = next < LAST ? next + 1 : FIRST
    if (await isFree(port)) return port
  }
}

/** Whether a server can listen on this port of 127.0.0.1. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return false
    throw error
  }
  server.close()
  await once(server, 'close')
  return true
}
