// The servers: how each is started, found and ended.

import { availableParallelism } from 'node:os'

import { Child, type Command } from '../../support/children.ts'
import { at } from '../../support/paths.ts'
import { run } from '../../support/run.ts'
import { asked } from './options.ts'

/** The core for servers; none where there is only one core. */
const SERVER_CORE = availableParallelism() > 1 ? '0' : undefined

/** Where the threads of a server may run. */
export type Pinning =
  /** On the server's core, from the start */
  | 'fromStart'
  /** On the server's core, once it is listening: what it decides by the number of cores it decides as if it had all */
  | 'onceListening'
  /** Wherever the kernel puts them */
  | 'free'

/** A server that can be measured. */
export interface Spec {
  /** The name in tables and plots */
  name: string
  /** What the build must have made */
  needs: string
  /** The command that listens on any free port of 127.0.0.1 */
  command: Command
  pinning: Pinning
}

/** A running server. */
export interface Server extends AsyncDisposable {
  child: Child
  port: number
}

const ADDRESS = ['127.0.0.1', '0']
const node = (script: string): string[] => [process.execPath, at(`bench/dist/peers/${script}.js`), ...ADDRESS]

/** Options of `start` for every server of this package. */
const ALWAYS = JSON.parse(asked.options ?? '{}') as Record<string, number>

/** This package's server in a Node process, with options for `start`. */
export function echoNode(options: Record<string, number> = {}, pinning: Pinning = 'onceListening'): Spec {
  // It decides by the number of cores whether to poll, and also how many threads to start. On one core it is one.
  const threads = pinning === 'free' ? {} : { threads: 1 }
  const command = [...node('echo-node'), JSON.stringify({ ...threads, ...ALWAYS, ...options })]
  return { name: 'echo-node', needs: 'echo-node', command, pinning }
}

/** Another server. It is pinned from the start, as it may decide by the number of cores how many threads to start. */
function peer(name: string, needs: string, command: Command): Spec {
  return { name, needs, command, pinning: 'fromStart' }
}

export const BARE = peer('bare loop in C', 'epoll', [at('bench/dist/epoll'), ...ADDRESS])
export const TOKIO = peer('tokio', 'tokio', [at('target/release/echo-peer-tokio'), ...ADDRESS])
export const GO = peer('Go net', 'go', [at('bench/dist/go-net'), ...ADDRESS])
export const LIBUV = peer('libuv', 'libuv', [at('bench/dist/libuv'), ...ADDRESS])
export const NODE_NET = peer('Node net', 'node-net', node('node-net'))

/** This package first, then those it is compared with. */
export const ALL = [echoNode(), BARE, TOKIO, GO, LIBUV, NODE_NET]

/** The command that keeps a program on the server's core. */
export function onServerCore(command: Command): Command {
  return SERVER_CORE === undefined ? command : ['taskset', '-c', SERVER_CORE, ...command]
}

/** Starts a server, and waits until it is listening. */
export async function serve({ command, pinning }: Spec): Promise<Server> {
  const child = new Child(pinning === 'fromStart' ? onServerCore(command) : command)
  const port = portIn(await child.line())
  if (pinning === 'onceListening' && SERVER_CORE !== undefined) {
    await run(['taskset', '-a', '-c', '-p', SERVER_CORE, String(child.pid)])
  }
  return { child, port, [Symbol.asyncDispose]: async () => void (await child.kill()) }
}

/** The port in a server's first line. */
export function portIn(line: string): number {
  return Number(/(\d+)$/.exec(line)?.[1])
}
