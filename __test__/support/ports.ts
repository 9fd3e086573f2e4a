// Ports for servers that are started again on the same one: below the range of ephemeral ports, where a client's own port
// could take it in between.

import { EchoServer } from '../../index.ts'

// Test files run in processes of their own at the same time: a range for each.
let next = 10_000 + (process.pid % 200) * 100

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    next = next < 32_000 ? next + 1 : 10_000
    const server = new EchoServer()
    try {
      server.start(next)
      await server.stop()
      return next
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}
