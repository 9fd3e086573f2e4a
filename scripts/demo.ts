// npm run demo: feeds the requests of examples/requests.jsonl to the node, one after the other, and shows its replies.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const EXECUTABLE = fileURLToPath(new URL('../dist/bin/echo-node.js', import.meta.url))
const REQUESTS = new URL('../examples/requests.jsonl', import.meta.url)

const node = spawn(process.execPath, [EXECUTABLE], { stdio: ['pipe', 'pipe', 'inherit'] })
// A node that has ended shows by its missing reply.
node.stdin.on('error', () => {})
const exit = once(node, 'exit')
const replies = createInterface(node.stdout)[Symbol.asyncIterator]()

for (const request of readFileSync(REQUESTS, 'utf8').trimEnd().split('\n')) {
  console.log(`request  ${request}`)
  node.stdin.write(`${request}\n`)
  const { value: reply, done } = await replies.next()
  if (done) break
  console.log(`reply    ${reply}\n`)
}
node.stdin.end()
const [code] = (await exit) as [number | null]
console.log(`the node has ended with exit code ${code}`)
process.exitCode = code ?? 1
