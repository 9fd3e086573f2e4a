/** What is in the packages, and whether others can resolve it. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { run } from '../../support/run.ts'
import type { Stage } from '../stage.ts'
import { expectSame } from './expect.ts'

const MAIN_MAY_HOLD =
  /^(package\.json|(README|CHANGELOG)\.md|LICENSE|docs\/\w+\.md|examples\/[\w-]+\.test\.ts|dist\/[\w/-]+(\.d\.ts|\.js))$/
const MAIN_MUST_HOLD = ['README.md', 'LICENSE', 'dist/index.js', 'dist/index.d.ts', 'dist/bin/echo-node.js']
const KIB = 1024

interface Packed {
  filename: string
  size: number
  unpackedSize: number
  files: { path: string }[]
}

/** Packs every package, checks what is in it, prints its size, and returns the main package's tarball. */
export async function checkContents({ main, platforms }: Stage, destination: string): Promise<string> {
  for (const [suffix, directory] of platforms) {
    const packed = await pack(`echo-node-${suffix}`, directory, destination)
    const expected = ['LICENSE', 'README.md', `echo-node.${suffix}.node`, 'package.json']
    expectSame(packed.files.map(({ path }) => path).toSorted(), expected, `the files of echo-node-${suffix}`)
    const [system, processor, libc] = suffix.split('-')
    const { os, cpu, libc: libcs, engines, preferUnplugged } = await manifestOf(directory)
    expectSame(
      { os, cpu, libcs, engines, preferUnplugged },
      { os: [system], cpu: [processor], libcs: libc && [libc === 'gnu' ? 'glibc' : libc], preferUnplugged: true },
      `what echo-node-${suffix} says that it is for`,
    )
  }
  const { scripts, devDependencies, engines, os } = await manifestOf(main)
  expectSame({ scripts, devDependencies, engines, os }, { engines: { node: '>=20.19' } }, 'the manifest of echo-node')
  const { files, filename } = await pack('echo-node', main, destination)
  const paths = files.map(({ path }) => path)
  const stray = paths.filter((path) => !MAIN_MAY_HOLD.test(path))
  const readme = await readFile(join(main, 'README.md'), 'utf8')
  const linked = [...readme.matchAll(/\]\((?!https:)([^)#]+)/g)].map(([, path]) => path!)
  const missing = [...MAIN_MUST_HOLD, ...linked].filter((path) => !paths.includes(path))
  expectSame({ stray, missing }, { stray: [], missing: [] }, 'the files of echo-node')
  return join(destination, filename)
}

/** Has publint and @arethetypeswrong/cli, installed in `tools`, judge the main package. */
export async function judge(tarball: string, tools: string): Promise<void> {
  await run(['npx', 'publint', 'run', '--strict', tarball], { cwd: tools })
  await run(['npx', 'attw', tarball], { cwd: tools })
}

async function manifestOf(directory: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Record<string, unknown>
}

async function pack(name: string, directory: string, destination: string): Promise<Packed> {
  const output = await run(['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', destination], {
    cwd: directory,
  })
  const [packed] = JSON.parse(output) as [Packed]
  const [size, unpacked] = [packed.size, packed.unpackedSize].map((bytes) => (bytes / KIB).toFixed(0))
  console.log(`${name}: ${packed.files.length} files, ${size} KiB packed, ${unpacked} KiB unpacked`)
  return packed
}
