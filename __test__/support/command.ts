// The built executable, run as a program of its own.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

import { Child } from './children.ts'

/** What `npm run build:js` makes. */
export const EXECUTABLE = fileURLToPath(new URL('../../dist/bin/echo-node.js', import.meta.url))

const DEADLINE = 60_000

/** What a run has left behind. */
export interface Outcome {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** The first line of every conversation. */
export const INIT = '{"src":"c0","dest":"n1","body":{"type":"init","msg_id":0,"node_id":"n1","node_ids":["n1"]}}'

/** A request from client c1, as a line without its newline. */
export function request(type: string, msgId: number, fields: Record<string, unknown> = {}): string {
  return JSON.stringify({ src: 'c1', dest: 'n1', body: { type, msg_id: msgId, ...fields } })
}

/** Runs the command to its end, or kills it after a minute; by way of another program, if there is to be one. */
export function run(args: string[], input: string | Buffer = '', through: string[] = []): Promise<Outcome> {
  return finish([...through, process.execPath, EXECUTABLE, ...args], input)
}

/** Runs a TypeScript program of this repository. */
export function runScript(path: string, args: string[] = [], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const file = fileURLToPath(new URL(`../../${path}`, import.meta.url))
  return finish([process.execPath, '--import', '@oxc-node/core/register', ...args, file], '', env)
}

async function finish(
  [file, ...args]: string[],
  input: string | Buffer,
  env: NodeJS.ProcessEnv = {},
): Promise<Outcome> {
  const child = spawn(file!, args, { timeout: DEADLINE, killSignal: 'SIGKILL', env: { ...process.env, ...env } })
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const outcome = outcomeOf(child)
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  return { ...(await outcome), stdout, stderr }
}

/** Runs the node on these lines, and returns the bodies of its replies. */
export async function converse(lines: string[]): Promise<Record<string, unknown>[]> {
  const { stdout } = await run([], `${lines.join('\n')}\n`)
  return bodies(stdout)
}

/** The bodies of a node's replies. */
export function bodies(stdout: string): Record<string, unknown>[] {
  const lines = stdout.split('\n').slice(0, -1)
  return lines.map((line) => (JSON.parse(line) as { body: Record<string, unknown> }).body)
}

/** Starts the command, to be talked to. */
export function start(args: string[] = []): Child {
  return new Child(process.execPath, [EXECUTABLE, ...args])
}

async function outcomeOf(child: ChildProcess): Promise<Pick<Outcome, 'code' | 'signal'>> {
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return { code, signal }
}
