// The built executable, run as a program of its own.

import { Child } from '../../support/children.ts'
import { EXECUTABLE, typescript } from '../../support/paths.ts'
import { attempt, type Outcome } from '../../support/run.ts'

const DEADLINE = 60_000

/** The first line of every conversation. */
export const INIT = '{"src":"c0","dest":"n1","body":{"type":"init","msg_id":0,"node_id":"n1","node_ids":["n1"]}}'

/** A request from client c1, as a line without its newline. */
export function request(type: string, msgId: number, fields: Record<string, unknown> = {}): string {
  return JSON.stringify({ src: 'c1', dest: 'n1', body: { type, msg_id: msgId, ...fields } })
}

/** Runs the command to its end, or kills it after a minute. With `through`, another program starts it. */
export function run(args: string[], input: string | Buffer = '', through: string[] = []): Promise<Outcome> {
  return attempt([...through, process.execPath, EXECUTABLE, ...args], { input, timeout: DEADLINE })
}

/** Runs a TypeScript program of this repository. */
export function runScript(
  path: string,
  { flags = [], env = {}, args = [] }: { flags?: string[]; env?: NodeJS.ProcessEnv; args?: string[] } = {},
): Promise<Outcome> {
  return attempt(typescript(path, args, flags), { env, timeout: DEADLINE })
}

/** Starts a TypeScript program of this folder, to be talked to. */
export function startScript(name: string, args: string[] = [], flags: string[] = []): Child {
  return new Child(typescript(`__test__/support/${name}`, args, flags))
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

/** The events that `serve --json` prints, up to the first one with this name. */
export async function eventsUpTo(name: string, server: Child): Promise<Record<string, unknown>[]> {
  const events: Record<string, unknown>[] = []
  do events.push(await server.json())
  while (events.at(-1)!['event'] !== name)
  return events
}

/** Starts the command, to be talked to. */
export function start(args: string[] = []): Child {
  return new Child([process.execPath, EXECUTABLE, ...args])
}
