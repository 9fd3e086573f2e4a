// The servers: how each is started, found, paused and ended.
import { type ChildProcessWithoutNullStreams } from 'node:child_process'
import { asked } from './arguments.ts'
import { end, finish, launchUntilReady, onCore } from './children.ts'
import { SERVER_CORE } from './machine.ts'
import { DIST, at } from './paths.ts'

/** A server that can be measured. */
export interface Spec {
  /** The name in tables and plots */
  name: string
  /** What the build must have made of it */
  needs: string
  /** The command that serves on any free port of 127.0.0.1 */
  command: string[]
}

/** Where the threads of a server may run. */
export type Pinning =
  /** On the server's core, from the start */
  | 'fromStart'
  /** On the server's core, once it listens: what it decides by the number of cores it decides as if it had all */
  | 'onceListening'
  /** Wherever the kernel puts them */
  | 'free'

/** A running server. */
export interface Server {
  name: string
  pid: number
  port: number
  /** Keeps it from running at all while others are measured */
  pause(): void
  resume(): void
  close(): Promise<void>
}

const node = (script: string, ...args: string[]): string[] => [
  process.execPath,
  `${DIST}/peers/${script}.js`,
  '127.0.0.1',
  '0',
  ...args,
]

/** What `start` is told on the command line's behalf. */
const ALWAYS = JSON.parse(asked.options ?? '{}') as Record<string, number>

/** This package's server in a Node process, with options for `start`. */
export function echoNode(options: Record<string, number> = {}, ...args: string[]): Spec {
  const texts = Object.entries(options).map(([key, value]) => `${key} ${value}`)
  return {
    name: ['echo-node', ...texts].join(' '),
    needs: 'echo-node',
    command: node('echo-node', '--options', JSON.stringify({ ...ALWAYS, ...options }), ...args),
  }
}

/** A server on node:net. */
export function nodeNet(...args: string[]): Spec {
  return { name: 'Node net', needs: 'node-net', command: node('node-net', ...args) }
}

export const BARE: Spec = { name: 'bare loop in C', needs: 'epoll', command: [`${DIST}/epoll`, '127.0.0.1', '0'] }
export const TOKIO: Spec = {
  name: 'tokio',
  needs: 'tokio',
  command: [at('target/release/echo-peer-tokio'), '127.0.0.1', '0'],
}
export const LIBUV: Spec = { name: 'libuv', needs: 'libuv', command: [`${DIST}/libuv`, '127.0.0.1', '0'] }
export const GO: Spec = { name: 'Go net', needs: 'go', command: [`${DIST}/go-net`, '127.0.0.1', '0'] }

/** This package first, then those it is compared with. */
export const ALL: Spec[] = [echoNode(), BARE, TOKIO, GO, LIBUV, nodeNet()]

/** This package decides by the number of cores whether to poll; the others by it how many threads to start. */
export function usualPinning(spec: Spec): Pinning {
  return spec.needs === 'echo-node' ? 'onceListening' : 'fromStart'
}

/** Starts a server, and waits until it listens. */
export async function serve(spec: Spec, pinning: Pinning = usualPinning(spec)): Promise<Server> {
  const command = onCore(pinning === 'fromStart' ? SERVER_CORE : undefined, spec.command)
  const { child, firstLine } = await launchUntilReady(command)
  const port = Number(/(\d+)$/.exec(firstLine)?.[1])
  if (pinning === 'onceListening') await pinAllThreads(child)
  return {
    name: spec.name,
    pid: child.pid!,
    port,
    pause: () => child.kill('SIGSTOP'),
    resume: () => child.kill('SIGCONT'),
    close: () => end(child),
  }
}

async function pinAllThreads(child: ChildProcessWithoutNullStreams): Promise<void> {
  if (SERVER_CORE === undefined) return
  const { code, stderr } = await finish(['taskset', '-a', '-c', '-p', String(SERVER_CORE), String(child.pid)], 5_000)
  if (code !== 0) throw new Error(stderr)
}
