/** A binary that cannot be used: one sentence that says what to do, by the command and by the API. */

import { spawnSync } from 'node:child_process'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { Installation, type Circumstances, type Damage } from './support/installation.ts'

const INSTALL_AGAIN = 'install echo-node again on this machine'
const MISSING = `the binary of echo-node is missing: ${INSTALL_AGAIN}, with its optional dependencies`
const NO_ADDONS =
  'Node.js may not load addons here: start it without --no-addons or, under --permission, with --allow-addons'
const ELF_MACHINE_OFFSET = 0x12
const ELF_MACHINE_S390 = 22
const AS_NOBODY = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']
const NAMESPACE = ['unshare', '--map-root-user', '--mount']

const needingNamespace = spawnSync(NAMESPACE[0]!, [...NAMESPACE.slice(1), 'true']).status === 0 ? test : test.skip

const whole: Damage = (binary) => binary

test('the binary is missing', async (t) => {
  const installation = await Installation.make(t, () => undefined)
  fails(t, installation, MISSING, `Cannot find module '${installation.package}'`)
})

const DAMAGES: [string, Damage, string][] = [
  ['is empty', () => Buffer.alloc(0), 'file too short'],
  ['is something else', () => Buffer.alloc(4096, '?'), 'invalid ELF header'],
  ['is for another processor', forS390, 'cannot open shared object file: No such file or directory'],
]

for (const [what, damage, why] of DAMAGES) {
  test(`the binary ${what}`, async (t) => {
    const installation = await Installation.make(t, damage)
    const reason = `${installation.binary}: ${why}`
    fails(t, installation, `the binary of echo-node cannot be loaded (${reason}): ${INSTALL_AGAIN}`, reason)
  })
}

test('there is no binary for the platform', async (t) => {
  const installation = await Installation.make(t, whole)
  const preload = "Object.defineProperty(process, 'platform', { value: 'sunos' })"
  const sentence = `there is no echo-node for sunos ${process.arch}: use it on Linux or macOS, on x64 or arm64`
  refuses(t, installation, { preload }, sentence)
})

test('addons are turned off', async (t) => {
  const installation = await Installation.make(t, whole)
  refuses(t, installation, { flags: ['--no-addons'] }, NO_ADDONS)
})

test('the permission model forbids addons', async (t) => {
  const installation = await Installation.make(t, whole)
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission'
  const flags = ['--no-warnings', permission, '--allow-fs-read=*']
  refuses(t, installation, { flags }, NO_ADDONS)
})

test('the binary may not be read', async (t) => {
  const installation = await Installation.make(t, whole)
  await chmod(installation.root, 0o755)
  await chmod(installation.binary, 0)
  const why = `${installation.binary}: cannot open shared object file: Permission denied`
  refuses(t, installation, { wrapper: process.getuid?.() === 0 ? AS_NOBODY : [] }, notPermitted(why))
})

needingNamespace('the binary is on a mount without execution', async (t) => {
  const installation = await Installation.make(t, whole)
  const mount = `mount --bind "$0" "$0" && mount -o remount,bind,noexec "$0" && exec "$@"`
  const wrapper = [...NAMESPACE, 'sh', '-c', mount, installation.root]
  const why = `${installation.binary}: failed to map segment from shared object`
  refuses(t, installation, { wrapper }, notPermitted(why))
})

needingNamespace("ldd is another libc's", async (t) => {
  const installation = await Installation.make(t, whole)
  const ldd = join(installation.root, 'ldd')
  await writeFile(ldd, "#!/bin/sh\necho 'musl libc (x86_64)'\n", { mode: 0o755 })
  const wrapper = [...NAMESPACE, 'sh', '-c', 'mount --bind "$0" /usr/bin/ldd && exec "$@"', ldd]
  works(t, installation, { wrapper })
})

test('the binary for the other libc is installed too', async (t) => {
  const installation = await Installation.make(t, whole)
  await addForOtherLibc(installation)
  works(t, installation)
})

test('the only binary is for the other libc', async (t) => {
  const installation = await Installation.make(t, () => undefined)
  const path = await addForOtherLibc(installation)
  refuses(
    t,
    installation,
    {},
    `the binary of echo-node cannot be loaded (${path}: invalid ELF header): ${INSTALL_AGAIN}`,
  )
})

test('what other addons are told by the environment is not for this one', async (t) => {
  const installation = await Installation.make(t, whole)
  const other = join(installation.root, 'other.js')
  await writeFile(other, 'module.exports = {}')
  works(t, installation, { env: { NAPI_RS_NATIVE_LIBRARY_PATH: other, NAPI_RS_FORCE_WASI: '1' } })
})

test('nothing global is touched, and all of it may be read-only', async (t) => {
  const installation = await Installation.make(t, whole)
  const preload = `
    const { excludeNetwork } = process.report
    Object.freeze(process.report)
    Object.defineProperty(process, 'dlopen', { writable: false, configurable: false })
    process.on('exit', () => { if (process.report.excludeNetwork !== excludeNetwork) process.exitCode = 99 })`
  works(t, installation, { preload })
})

for (const version of ['12.22.12', '18.20.8', '20.18.3']) {
  test(`Node.js ${version} is told that it is too old before it meets syntax it cannot read`, async (t) => {
    const installation = await Installation.make(t, (binary) => binary)
    await writeFile(join(installation.directory, 'dist/bin/command.js'), 'the syntax of the future')
    const preload = `Object.defineProperty(process.versions, 'node', { value: '${version}' })`
    const sentence = `echo-node: Node.js ${version} is too old: install Node.js 20.19 or later\n`
    t.deepEqual(installation.command([], { preload }), { status: 1, stdout: '', stderr: sentence })
  })
}

test('package.json names the same oldest Node.js', async (t) => {
  const manifest = await readFile(new URL('../package.json', import.meta.url), 'utf8')
  t.is((JSON.parse(manifest) as { engines: { node: string } }).engines.node, '>=20.19')
})

/** Adds a binary that cannot be loaded, and says where it is. */
function addForOtherLibc(installation: Installation): Promise<string> {
  const [, processor, libc] = /^(.+)-(gnu|musl)$/.exec(installation.package)!
  return installation.add(`${processor}-${libc === 'gnu' ? 'musl' : 'gnu'}`, Buffer.alloc(4096, '?'))
}

function notPermitted(why: string): string {
  return `the binary of echo-node may not be loaded (${why}): let this user read it, on a mount without noexec`
}

function fails(t: ExecutionContext, installation: Installation, sentence: string, cause: string): void {
  refuses(t, installation, {}, sentence)
  // The node needs the engine only after its first reply.
  const node = installation.command([])
  const stderr = `echo-node: ${sentence}\n`
  t.deepEqual({ ...node, stdout: node.stdout.includes('init_ok') }, { status: 1, stdout: true, stderr })
  t.is(installation.importError(), `ERR_BINDING_NOT_LOADED ${sentence} because ${cause}`)
}

function refuses(t: ExecutionContext, installation: Installation, how: Circumstances, sentence: string): void {
  const stderr = `echo-node: ${sentence}\n`
  t.deepEqual(installation.command(['serve'], how), { status: 1, stdout: '', stderr })
}

function works(t: ExecutionContext, installation: Installation, how?: Circumstances): void {
  const { status, stdout, stderr } = installation.command([], how)
  t.deepEqual(
    { status, started: stdout.includes('tcp_echo_start_ok'), stderr },
    { status: 0, started: true, stderr: '' },
  )
}

function forS390(binary: Buffer): Buffer {
  const copy = Buffer.from(binary)
  copy.writeUInt16LE(ELF_MACHINE_S390, ELF_MACHINE_OFFSET)
  return copy
}
