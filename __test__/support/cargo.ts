// Programs that cargo builds. They are built first and run afterwards: a build may take a minute, or wait for another.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

const run = promisify(execFile)

/** What cargo says of a thing it has built. */
interface Artifact {
  reason: string
  target?: { name: string }
  executable?: string | null
}

/** The path of an example of the crate. */
export async function example(name: string): Promise<string> {
  const built = await executables(['build', '--example', name])
  return built.get(name)!
}

/** The paths of the crate's test programs, by name. */
export function testPrograms(): Promise<Map<string, string>> {
  return executables(['test', '--no-run'])
}

async function executables(command: string[]): Promise<Map<string, string>> {
  const { stdout } = await cargo([...command, '--package', 'echo-node', '--message-format', 'json'])
  const artifacts = stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Artifact)
  return new Map(
    artifacts.flatMap(({ target, executable }) => (target && executable ? [[target.name, executable]] : [])),
  )
}

/** Runs cargo, or fails with what it says. */
export function cargo(args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ stdout: string; stderr: string }> {
  return run('cargo', args, { cwd: ROOT, env: { ...process.env, ...env }, maxBuffer: 1 << 26 })
}
