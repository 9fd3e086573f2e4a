/** What is published, in a directory of its own: napi's commands change files in place. */

import { chmod, cp, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { at, ROOT } from '../support/paths.ts'
import { run } from '../support/run.ts'

const ALONGSIDE = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md']

/** What in the manifest is for those who build the package. npm warns its users of packages that run scripts. */
const FOR_BUILDING = ['scripts', 'napi', 'ava', 'overrides', 'devDependencies']

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
  // The manifest says which of them are published.
  for (const folder of ['docs', 'examples']) await cp(at(folder), join(directory, folder), { recursive: true })
  await run(['npx', 'tsc', '--outDir', join(directory, 'dist')], { cwd: ROOT })
  await chmod(join(directory, 'dist/bin/echo-node.js'), 0o755)
  const suffixes = await copyBinaries(join(directory, 'artifacts'))
  await edit(join(directory, 'package.json'), (manifest) => {
    // `napi pre-publish` wants a binary for each target.
    const napi = manifest['napi'] as { targets: string[] }
    napi.targets = napi.targets.filter((triple) => suffixes.includes(suffixOf(triple)))
  })
  const napi = at('node_modules/.bin/napi')
  await run([napi, 'create-npm-dirs'], { cwd: directory })
  await run([napi, 'artifacts'], { cwd: directory })
  await run([napi, 'pre-publish', '--tag-style', 'npm', '--no-gh-release', '--skip-optional-publish'], {
    cwd: directory,
  })
  await edit(join(directory, 'package.json'), (manifest) => {
    for (const field of FOR_BUILDING) delete manifest[field]
  })
  const platforms = new Map(suffixes.map((suffix) => [suffix, join(directory, 'npm', suffix)]))
  for (const platform of platforms.values()) {
    await cp(join(directory, 'LICENSE'), join(platform, 'LICENSE'))
    await edit(join(platform, 'package.json'), (manifest) => {
      // npm would leave the binary out without a word where they do not match; the main package says what is too old.
      delete manifest['engines']
      // dlopen(3) opens files, not members of an archive.
      manifest['preferUnplugged'] = true
    })
  }
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

async function edit(path: string, change: (manifest: Record<string, unknown>) => void): Promise<void> {
  const manifest = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  change(manifest)
  await writeFile(path, `${JSON.stringify(manifest, null, 2)}\n`)
}

/** napi's name for a target: `linux-x64-gnu` is x86_64-unknown-linux-gnu, `darwin-x64` is x86_64-apple-darwin. */
function suffixOf(triple: string): string {
  const [processor, , system, ...libc] = triple.split('-')
  return [system, processor === 'x86_64' ? 'x64' : 'arm64', ...libc].join('-')
}
