/**
 * Loads every binary that is built with a Node.js of its kind: the addon comes up, the command answers the transcripts,
 * 4 MiB come back. For Debian 12 on x64, as root; arm64 runs in emulation, musl in a root directory of its own.
 */

import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { at } from '../support/paths.ts'
import { run } from '../support/run.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { expectSame } from './rehearsal/expect.ts'
import { transcript, TRANSCRIPTS } from './rehearsal/transcripts.ts'
import { stage } from './stage.ts'
import { RUNNERS, type Runner } from './targets/runners.ts'

const CHECK = at('scripts/rehearsal/consumer/check.mjs')
const GLIBC_FLOOR = 28

/** Throws if a binary needs a newer glibc 2 than it may. */
async function checkGlibc(binary: string): Promise<string> {
  const symbols = await run(['readelf', '--dyn-syms', '--wide', binary], { cwd: '/' })
  const newest = Math.max(0, ...[...symbols.matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor)))
  if (newest > GLIBC_FLOOR) throw new Error(`${binary} must need glibc 2.${GLIBC_FLOOR} or older, got 2.${newest}`)
  return newest === 0 ? 'no glibc' : `glibc 2.${newest}`
}

async function tryWith(runner: Runner, packages: Record<string, string>): Promise<string> {
  const { directory, command } = runner
  for (const [name, source] of Object.entries(packages)) {
    await cp(source, join(directory, 'node_modules', name), { recursive: true })
  }
  await cp(CHECK, join(directory, 'check.mjs'))
  await writeFile(join(directory, 'version.mjs'), 'console.log(process.version, process.arch)')
  await run(command('check.mjs'), { cwd: '/' })
  for (const name of TRANSCRIPTS) {
    const { input, expected } = await transcript(name)
    const replies = await run(command('node_modules/echo-node/dist/bin/echo-node.js'), { cwd: '/', input })
    expectSame(replies, expected, `the replies to ${name}`)
  }
  return (await run(command('version.mjs'), { cwd: '/' })).trim()
}

async function tryAll(work: string): Promise<void> {
  const { main, platforms } = await stage(join(work, 'stage'))
  const alone = join(work, 'echo-node')
  for (const part of ['package.json', 'dist']) {
    await cp(join(main, part), join(alone, part), { recursive: true })
  }
  for (const [platform, directory] of platforms) {
    const glibc = await checkGlibc(join(directory, `echo-node.${platform}.node`))
    for (const making of RUNNERS[platform]?.(work) ?? []) {
      const tried = await tryWith(await making, { 'echo-node': alone, [`echo-node-${platform}`]: directory })
      console.log(`ok - ${platform} on Node.js ${tried}; the binary needs ${glibc}`)
    }
  }
}

try {
  using work = await temporaryDirectory()
  await tryAll(work.path)
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
