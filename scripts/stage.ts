/** What is published, in a directory of its own: napi's commands change files in place. */

import { chmod, cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { at, ROOT } from '../support/paths.ts'
import { run } from '../support/run.ts'

const ALONGSIDE = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'binding/index.cjs', 'binding/index.d.cts']

/** Where a staged copy has its packages. */
export interface Stage {
  /** The package `echo-node`. */
  main: string
  /** The packages with the binaries, by their suffix, such as `linux-x64-gnu`. */
  platforms: Map<string, string>
}

/**
 * Makes a staged copy with every binary that is built: those in artifacts/, and for this machine, if it is not among
 * them, the one in binding/. Binaries older than the source they are from are left out.
 */
export async function stage(directory: string): Promise<Stage> {
  for (const file of ALONGSIDE) await cp(at(file), join(directory, file))
  await run(['npx', 'tsc', '--outDir', join(directory, 'dist')], { cwd: ROOT })
  await chmod(join(directory, 'dist/bin/echo-node.js'), 0o755)
  const suffixes = await copyBinaries(join(directory, 'artifacts'))
  await keepTargets(join(directory, 'package.json'), suffixes)
  const napi = at('node_modules/.bin/napi')
  await run([napi, 'create-npm-dirs'], { cwd: directory })
  await run([napi, 'artifacts'], { cwd: directory })
  await run([napi, 'pre-publish', '--tag-style', 'npm', '--no-gh-release', '--skip-optional-publish'], {
    cwd: directory,
  })
  const platforms = new Map(suffixes.map((suffix) => [suffix, join(directory, 'npm', suffix)]))
  for (const platform of platforms.values()) await cp(join(directory, 'LICENSE'), join(platform, 'LICENSE'))
  return { main: directory, platforms }
}

async function copyBinaries(destination: string): Promise<string[]> {
  await mkdir(destination)
  const sourceTime = await newest(at('crate/src'))
  const suffixes = new Set<string>()
  for (const folder of ['artifacts', 'binding']) {
    for (const file of await readdir(at(folder)).catch(() => [])) {
      const suffix = /^echo-node\.(.+)\.node$/.exec(file)?.[1]
      if (suffix === undefined || suffixes.has(suffix)) continue
      const path = at(join(folder, file))
      if ((await stat(path)).mtimeMs < sourceTime) {
        console.log(`${folder}/${file} is left out: it is older than crate/src`)
        continue
      }
      await cp(path, join(destination, file))
      suffixes.add(suffix)
    }
  }
  if (suffixes.size === 0) throw new Error('no binary is built: npm run build, or npm run build:target -- <triple>')
  return [...suffixes].toSorted()
}

async function newest(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const times = await Promise.all(files.map(async (file) => (await stat(join(file.parentPath, file.name))).mtimeMs))
  return Math.max(...times)
}

/** Leaves those targets in the manifest that are built: `napi pre-publish` wants a binary for each. */
async function keepTargets(manifest: string, suffixes: string[]): Promise<void> {
  const parsed = JSON.parse(await readFile(manifest, 'utf8')) as { napi: { targets: string[] } }
  parsed.napi.targets = parsed.napi.targets.filter((triple) => suffixes.includes(suffixOf(triple)))
  await writeFile(manifest, JSON.stringify(parsed, null, 2))
}

/** napi's name for a target: `linux-x64-gnu` is x86_64-unknown-linux-gnu. */
function suffixOf(triple: string): string {
  const [processor, , system, libc] = triple.split('-')
  return `${system}-${processor === 'x86_64' ? 'x64' : 'arm64'}-${libc}`
}
