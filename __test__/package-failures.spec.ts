/** A binary that cannot be used: one sentence that says what to do, by the command and by the API. */

import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { Installation, type Damage } from './support/installation.ts'

const INSTALL_AGAIN = 'install echo-node again on this machine'
const ELF_MACHINE_OFFSET = 0x12
const ELF_MACHINE_S390 = 22

test('the binary is missing', async (t) => {
  const installation = await Installation.make(t, () => undefined)
  fails(t, installation, `the binary of echo-node is missing: ${INSTALL_AGAIN}, with its optional dependencies`)
})

const DAMAGES: [string, Damage, string][] = [
  ['is empty', () => Buffer.alloc(0), 'file too short'],
  ['is something else', () => Buffer.alloc(4096, '?'), 'invalid ELF header'],
  ['was cut short', (whole) => whole.subarray(0, whole.length / 2), 'the end of the file is missing'],
  ['lacks its last byte', (whole) => whole.subarray(0, -1), 'the end of the file is missing'],
  ['is for another processor', forS390, `not for ${process.arch}`],
]

for (const [what, damage, why] of DAMAGES) {
  test(`the binary ${what}`, async (t) => {
    const installation = await Installation.make(t, damage)
    const reason = `${installation.binary}: ${why}`
    fails(t, installation, `the binary of echo-node cannot be loaded (${reason}): ${INSTALL_AGAIN}`)
  })
}

test('there is no binary for the platform', async (t) => {
  const installation = await Installation.make(t, () => undefined)
  const pretence = "Object.defineProperty(process, 'platform', { value: 'sunos' })"
  const sentence = `echo-node: there is no echo-node for sunos ${process.arch}: use it on Linux, on x64 or arm64\n`
  t.deepEqual(installation.command(['serve'], pretence), { status: 1, stdout: '', stderr: sentence })
})

for (const version of ['12.22.12', '18.20.8', '20.18.3']) {
  test(`Node.js ${version} is told that it is too old before it meets syntax it cannot read`, async (t) => {
    const installation = await Installation.make(t, (binary) => binary)
    await writeFile(join(installation.directory, 'dist/bin/command.js'), 'the syntax of the future')
    const pretence = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`
    const sentence = `echo-node: Node.js ${version} is too old: install Node.js 20.19 or later\n`
    t.deepEqual(installation.command([], pretence), { status: 1, stdout: '', stderr: sentence })
  })
}

test('package.json names the same oldest Node.js', async (t) => {
  const manifest = await readFile(new URL('../package.json', import.meta.url), 'utf8')
  t.is((JSON.parse(manifest) as { engines: { node: string } }).engines.node, '>=20.19')
})

function fails(t: ExecutionContext, installation: Installation, sentence: string): void {
  const stderr = `echo-node: ${sentence}\n`
  t.deepEqual(installation.command(['serve']), { status: 1, stdout: '', stderr })
  // The node needs the engine only after its first reply.
  const node = installation.command([])
  t.deepEqual({ ...node, stdout: node.stdout.includes('init_ok') }, { status: 1, stdout: true, stderr })
  t.is(installation.importError(), `ERR_BINDING_NOT_LOADED ${sentence}`)
}

function forS390(binary: Buffer): Buffer {
  const copy = Buffer.from(binary)
  copy.writeUInt16LE(ELF_MACHINE_S390, ELF_MACHINE_OFFSET)
  return copy
}
