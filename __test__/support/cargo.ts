// Programs that cargo builds. They are built first and run afterwards: a build may take a minute, or wait for another.

import { ROOT } from '../../support/paths.ts'
import { run } from '../../support/run.ts'

/** A build may take minutes, and so may tests. */
const DEADLINE = 1_800_000

/** What cargo says of a thing it has built. */
interface Artifact {
  reason: string
  target?: { name: string }
  profile?: { test: boolean }
  executable?: string | null
}

/** The path of an example of the crate. */
export async function example(name: string): Promise<string> {
  const built = await build(['build', '--example', name])
  return built.find(({ target }) => target?.name === name)!.executable!
}

/** The names and paths of the crate's test programs. */
export async function testPrograms(): Promise<{ name: string; path: string }[]> {
  const built = await build(['test', '--no-run'])
  // The examples are built with them, for the tests that run one.
  const tests = built.filter(({ profile }) => profile?.test)
  return tests.map(({ target, executable }) => ({ name: target!.name, path: executable! }))
}

async function build(command: string[]): Promise<Artifact[]> {
  const stdout = await cargo([...command, '--package', 'echo-node', '--message-format', 'json'])
  const messages = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Artifact)
  return messages.filter(({ executable }) => executable)
}

/** Runs cargo, and returns what it writes to stdout; or fails with what it says. */
export function cargo(args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  return run(['cargo', ...args], { cwd: ROOT, env, timeout: DEADLINE })
}
