/** What is in the packages, and whether others can resolve it. */

import { join } from 'node:path'

import { run } from '../../support/run.ts'
import type { Stage } from '../stage.ts'

const MAIN_MAY_HOLD = /^(package\.json|(README|CHANGELOG)\.md|LICENSE|dist\/[\w/-]+(\.d\.ts|\.js))$/
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
  }
  const { files, filename } = await pack('echo-node', main, destination)
  const paths = files.map(({ path }) => path)
  const stray = paths.filter((path) => !MAIN_MAY_HOLD.test(path))
  const missing = MAIN_MUST_HOLD.filter((path) => !paths.includes(path))
  expectSame({ stray, missing }, { stray: [], missing: [] }, 'the files of echo-node')
  return join(destination, filename)
}

/** Has publint and @arethetypeswrong/cli, installed in `tools`, judge the main package. */
export async function judge(tarball: string, tools: string): Promise<void> {
  await run(['npx', 'publint', 'run', '--strict', tarball], { cwd: tools })
  await run(['npx', 'attw', tarball], { cwd: tools })
}

/** Throws if two values differ. */
export function expectSame(actual: unknown, expected: unknown, what: string): void {
  const [is, shouldBe] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (is !== shouldBe) throw new Error(`${what} must be ${shouldBe}, got ${is}`)
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
