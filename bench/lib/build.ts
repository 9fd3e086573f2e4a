// Building everything that is measured. What cannot be built is named, with the reason.

import { mkdir } from 'node:fs/promises'

import type { Command } from '../../support/children.ts'
import { at, ROOT } from '../../support/paths.ts'
import { locate } from '../../support/programs.ts'
import { attempt } from '../../support/run.ts'

const DIST = at('bench/dist')
const C = ['cc', '-O2', '-Wall', '-Wextra', '-o']
const TIMEOUT = 600_000

/** How each peer is made that may be missing. */
const RECIPES: [name: string, command: Command, folder: string][] = [
  ['epoll', [...C, `${DIST}/epoll`, 'epoll.c'], 'bench/peers'],
  ['libuv', [...C, `${DIST}/libuv`, 'libuv.c', '-luv'], 'bench/peers'],
  ['go', ['go', 'build', '-o', `${DIST}/go-net`, '.'], 'bench/peers/go'],
]

/** What cannot be measured, and why. */
export const missing = new Map<string, string>()

/** Builds this package, the load generator and the peers; or only the peers that may be missing. */
export async function build(everything: boolean): Promise<void> {
  await mkdir(DIST, { recursive: true })
  if (everything) {
    process.stderr.write('building this package, the load generator and the peers\n')
    await make('npm', 'run', 'build')
    await make('cargo', 'build', '--release', '--quiet', '-p', 'echo-loadgen', '-p', 'echo-peer-tokio')
    await make('npx', 'tsc', '-p', 'bench/peers')
  }
  for (const [name, command, folder] of RECIPES) {
    const { code, stderr } = await attempt(command, { cwd: at(folder), timeout: TIMEOUT })
    if (code !== 0) missing.set(name, `it could not be built: ${reason(stderr)}`)
  }
  if (locate('strace') === undefined) missing.set('strace', 'it is not installed')
}

/** Runs a command without which nothing can be measured. If it fails, its own output says why. */
export async function make(...command: string[]): Promise<void> {
  const { code, stdout, stderr } = await attempt(command, { cwd: ROOT, timeout: TIMEOUT })
  if (code === 0) return
  process.stderr.write(stdout + stderr)
  process.exit(1)
}

/** The end of the first line that says what is wrong, without paths of this machine. */
function reason(stderr: string): string {
  const lines = stderr.split('\n')
  const line = lines.find((text) => /error|fatal|not found|no such file/i.test(text)) ?? lines[0]!
  return line.split(': ').slice(-2).join(': ')
}
