// npm run demo: sends the requests of examples/requests.jsonl to the node, one after the other, and shows its replies.

import { readFile } from 'node:fs/promises'

import { Child } from '../support/children.ts'
import { at, EXECUTABLE } from '../support/paths.ts'
import { freePort, isFree } from '../support/ports.ts'

const PORT = 8080

/** The requests, with another port where theirs is in use. */
async function readRequests(): Promise<string[]> {
  const text = (await readFile(at('examples/requests.jsonl'), 'utf8')).trimEnd()
  if (await isFree(PORT)) return text.split('\n')
  const port = await freePort()
  console.log(`port ${PORT} is in use: the demo takes port ${port}\n`)
  return text.replaceAll(`"port":${PORT}`, `"port":${port}`).split('\n')
}

/** Shows each request with its reply, up to the first error. */
async function converse(node: Child): Promise<void> {
  for (const request of await readRequests()) {
    console.log(`request  ${request}`)
    node.process.stdin.write(`${request}\n`)
    const reply = await node.line()
    console.log(`reply    ${reply}\n`)
    const { body } = JSON.parse(reply) as { body: { type: string } }
    if (body.type === 'error') throw new Error('the node replied with an error')
  }
}

const node = new Child([process.execPath, EXECUTABLE])
try {
  await converse(node)
  node.process.stdin.end()
  const end = await node.end()
  if (end !== 0) throw new Error(`the node ended with ${end}: ${node.stderr}`)
  console.log('the node has ended with exit code 0')
} catch (error) {
  console.error(`the demo failed: ${(error as Error).message}`)
  process.exitCode = 1
} finally {
  node.process.kill()
}
