// Stops its own process right after it has begun what has a deadline: stalled-child.ts WHAT TIMEOUT

import { EchoServer } from 'echo-node'

const SENDS = 100

function stall(): void {
  process.kill(process.pid, 'SIGSTOP')
}

const [what, timeout] = [process.argv[2]!, Number(process.argv[3])]
const server = new EchoServer()
console.log(server.start())
// Here clients come, and wait in the backlog.
stall()
const sends = Array.from({ length: SENDS }, () => server.send(Buffer.alloc(1000), { timeout }))
const begun = what === 'send' ? sends : [server.stop({ timeout }), ...sends]
stall()
const results = await Promise.allSettled(begun)
console.log(JSON.stringify(results.flatMap((result) => (result.status === 'rejected' ? String(result.reason) : []))))
await server.stop()
