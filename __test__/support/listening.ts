// A server for one test.

import { EchoServer, type StartOptions } from 'echo-node'

/** A server that is stopped when the test is over, however it ends. */
export function listening(t: { teardown: (end: () => Promise<void>) => void }, options?: StartOptions): EchoServer {
  const server = new EchoServer()
  server.start(0, options)
  t.teardown(() => server.stop({ timeout: 0 }))
  return server
}
