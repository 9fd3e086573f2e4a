// What keeps a process alive, and what keeps a server from being collected: idle-child.ts CASE

import { setTimeout as sleep } from 'node:timers/promises'

import { EchoServer, send, start, stop } from 'echo-node'

async function stopped(): Promise<void> {
  start()
  await send('hello')
  await stop()
  // What is left may be this process's own pipes, or the immediates in which Node.js finalizes garbage, never ours.
  const left = process.getActiveResourcesInfo().filter((name) => !name.endsWith('Wrap') && name !== 'Immediate')
  console.log(JSON.stringify(left))
}

async function unref(): Promise<void> {
  const server = new EchoServer().unref()
  server.start()
  await server.send('hello')
  console.log('sent')
}

function listening(): void {
  console.log(start())
  // Comes when nothing else is due: were the server no reason to stay, the process would end now.
  setImmediate(() => setImmediate(() => console.log('idle')))
}

async function garbage(): Promise<void> {
  const collected: string[] = []
  const registry = new FinalizationRegistry((name: string) => collected.push(name))
  console.log(await makeServers(registry))
  while (collected.length < 2) {
    globalThis.gc!()
    await sleep(1)
  }
  // Long after the others, the one that listens is still there.
  for (let turn = 0; turn < 20; turn++) {
    globalThis.gc!()
    await sleep(1)
  }
  console.log(`collected ${collected.toSorted().join(', ')}`)
}

/** One that listens, one that has, one that never did; nothing refers to any of them. */
async function makeServers(registry: FinalizationRegistry<string>): Promise<number> {
  const servers = { listening: new EchoServer(), stopped: new EchoServer(), never: new EchoServer() }
  for (const [name, server] of Object.entries(servers)) registry.register(server, name)
  servers.stopped.start()
  await servers.stopped.send('hello')
  await servers.stopped.stop()
  return servers.listening.start()
}

const cases: Record<string, () => unknown> = { stopped, unref, listening, garbage }
await cases[process.argv[2]!]!()
