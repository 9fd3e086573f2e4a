// A process without a server that sends: send-child.ts HOST PORT TIMEOUT. It prints what came, and ends by itself.

import { send } from 'echo-node'

const [host, port, timeout] = [process.argv[2]!, Number(process.argv[3]), Number(process.argv[4])]
const began = performance.now()
const result = await send('hello', { host, port, timeout }).catch(({ code, syscall }: NodeJS.ErrnoException) => ({
  code,
  syscall,
}))
console.log(JSON.stringify({ result, took: performance.now() - began }))
