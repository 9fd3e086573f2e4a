/** The package through bundlers and tracers: it works, or they say when they build that they cannot carry it. */

import { cp } from 'node:fs/promises'
import { join } from 'node:path'

import { binaryOf } from './project.ts'
import { expectFailure, expectSame } from './expect.ts'
import type { User } from './user.ts'

const MARK_AS_EXTERNAL = /the binary of echo-node is not in the bundle \(.+\): mark echo-node as external/

/** esbuild: as an external package, with a loader for binaries, and without either. */
export async function bundlesWithEsbuild(developer: User, project: string): Promise<void> {
  const esbuild = [developer.tool('esbuild'), 'check.cjs', '--bundle', '--platform=node', '--log-level=warning']
  await developer.run([...esbuild, '--external:echo-node', '--outfile=bundles/external.cjs'], project)
  await developer.run(['node', 'bundles/external.cjs'], project)
  expectFailure(await developer.attempt(esbuild, project), /No loader is configured for ".node" files/)
  await developer.run(
    [...esbuild, '--loader:.node=copy', '--outdir=bundles/whole', '--out-extension:.js=.cjs'],
    project,
  )
  await developer.run(['node', 'check.cjs'], await moved(developer, project, 'bundles/whole'))
}

/** A bundle without its binary, or with something else in its place, says what to do. */
export async function bundlesWithoutBinary(developer: User, project: string): Promise<void> {
  for (const option of ['--external:echo-node-*', '--loader:.node=file']) {
    const bundle = `bundles/${option.slice('--'.length, -1)}`
    const esbuild = [developer.tool('esbuild'), 'check.cjs', '--bundle', '--platform=node', '--log-level=warning']
    await developer.run([...esbuild, option, `--outfile=${bundle}/check.cjs`], project)
    const elsewhere = await moved(developer, project, bundle)
    expectFailure(await developer.attempt(['node', 'check.cjs'], elsewhere), MARK_AS_EXTERNAL)
  }
}

/** rollup. */
export async function bundlesWithRollup(developer: User, project: string): Promise<void> {
  const rollup = [developer.tool('rollup'), 'check.mjs', '--silent', '--plugin', 'node-resolve', '--plugin', 'commonjs']
  await developer.run([...rollup, '--external', 'echo-node', '--file', 'bundles/rollup.mjs'], project)
  await developer.run(['node', 'bundles/rollup.mjs'], project)
  expectFailure(await developer.attempt(rollup, project), /echo-node\..+\.node .*you need plugins to import files/)
}

/** vite, with the package taken into the bundle. */
export async function bundlesWithVite(developer: User, project: string): Promise<void> {
  const vite = [developer.tool('vite'), 'build', '--ssr', 'check.mjs', '--outDir', 'bundles/vite']
  await developer.run(vite, project)
  await developer.run(['node', 'bundles/vite/check.mjs'], project)
  const whole = [...vite, '--config', 'no-external.config.mjs']
  expectFailure(await developer.attempt(whole, project), /Could not load .*echo-node\..+\.node/)
}

/** @vercel/ncc, whose result runs elsewhere. */
export async function bundlesWithNcc(developer: User, project: string): Promise<void> {
  await developer.run([developer.tool('ncc'), 'build', 'check.cjs', '--out', 'bundles/ncc'], project)
  await developer.run(['node', 'index.cjs'], await moved(developer, project, 'bundles/ncc'))
}

/** @vercel/nft finds all that is needed, with the binary. */
export async function isTraced(developer: User, project: string): Promise<void> {
  const files = JSON.parse(await developer.run(['node', 'trace.mjs'], project)) as string[]
  const binary = await binaryOf(project)
  expectSame(files.includes(binary), true, `${binary} in the trace`)
  const elsewhere = await developer.directory('traced')
  for (const file of files) await cp(join(project, file), join(elsewhere, file))
  await developer.run(['node', 'check.cjs'], elsewhere)
}

async function moved(developer: User, project: string, bundle: string): Promise<string> {
  const elsewhere = await developer.directory(`moved-${bundle.replaceAll(/\W/g, '-')}`)
  await cp(join(project, bundle), elsewhere, { recursive: true })
  return elsewhere
}
