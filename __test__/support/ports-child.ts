// Uses up the client ports for one server, then sends to another one: ports-child.ts

import { EchoServer, send } from 'echo-node'

const [server, another] = [new EchoServer(), new EchoServer()]
const [port, free] = [server.start(20_000), another.start(20_001)]
let first = 0
for (; first < 10; first++) await send('x', { port })
const last = send('x', { port, timeout: 5000 }).catch(({ code, syscall }: NodeJS.ErrnoException) => ({ code, syscall }))
// It would time out if it waited for the one before.
const other = await send('x', { port: free, timeout: 4000 })
console.log(JSON.stringify({ first, last: await last, other }))
await Promise.all([server.stop(), another.stop()])
