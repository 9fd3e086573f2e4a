/** What someone does with the published package. Each throws if it does not work. */

import { cp, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { at } from '../../support/paths.ts'
import { run } from '../../support/run.ts'
import { expectSame } from './contents.ts'
import { transcript, TRANSCRIPTS } from './transcripts.ts'
import type { User } from './user.ts'

const CONSUMER = at('scripts/rehearsal/consumer')
const MODULE_RESOLUTIONS = { node16: ['mts'], nodenext: ['mts', 'cts'], bundler: ['mts'] }

/** `npx echo-node`, from nothing, answers a transcript byte for byte. */
export async function runsByNpx(user: User): Promise<void> {
  const directory = await user.directory('npx')
  for (const name of TRANSCRIPTS) {
    const { input, expected } = await transcript(name)
    expectSame(await user.run(['npx', '--yes', 'echo-node'], directory, input), expected, `the replies to ${name}`)
  }
}

/** A project installs it, with the one binary of this machine, and uses it by `import` and by `require`. */
export async function imports(user: User): Promise<string> {
  const project = await user.directory('project')
  await install(user, project, [])
  const { dependencies } = JSON.parse(await user.run(['npm', 'ls', '--all', '--json'], project)) as {
    dependencies: { 'echo-node': { dependencies?: object } }
  }
  const binaries = Object.keys(dependencies['echo-node'].dependencies ?? {})
  if (!binaries.some((name) => name.startsWith(`echo-node-linux-${process.arch}-`))) {
    throw new Error(`no binary for this machine was installed, only ${JSON.stringify(binaries)}`)
  }
  await cp(CONSUMER, project, { recursive: true })
  await user.run(['node', 'check.mjs'], project)
  await user.run(['node', 'check.cjs'], project)
  return project
}

/** TypeScript finds the types, whatever way it resolves modules. */
export async function compiles(project: string): Promise<void> {
  await mkdir(join(project, 'node_modules/@types'))
  await symlink(at('node_modules/@types/node'), join(project, 'node_modules/@types/node'))
  await symlink(at('node_modules/undici-types'), join(project, 'node_modules/undici-types'))
  for (const [moduleResolution, extensions] of Object.entries(MODULE_RESOLUTIONS)) {
    const config = {
      compilerOptions: {
        strict: true,
        noEmit: true,
        target: 'es2022',
        module: moduleResolution === 'bundler' ? 'esnext' : moduleResolution,
        moduleResolution,
      },
      files: extensions.map((extension) => `types.${extension}`),
    }
    await writeFile(join(project, 'tsconfig.json'), JSON.stringify(config))
    await run([at('node_modules/.bin/tsc'), '-p', '.'], { cwd: project })
  }
}

/** Where there is no binary, it says so in one line on stderr, and fails. */
export async function refusesOtherPlatforms(user: User): Promise<void> {
  const project = await user.directory('elsewhere')
  await install(user, project, ['--os=darwin', '--cpu=arm64'])
  const pretence = `for (const [name, value] of [['platform', 'darwin'], ['arch', 'arm64']]) {
    Object.defineProperty(process, name, { value })
  }`
  const { code, stdout, stderr } = await user.attempt(['node', 'node_modules/.bin/echo-node', 'serve'], project, {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretence)}`,
  })
  const sentence = 'echo-node: there is no echo-node for darwin arm64: use it on Linux, on x64 or arm64\n'
  expectSame({ code, stdout, stderr }, { code: 1, stdout: '', stderr: sentence }, 'the refusal')
}

async function install(user: User, project: string, options: string[]): Promise<void> {
  await writeFile(join(project, 'package.json'), '{ "private": true }')
  await user.run(['npm', 'install', ...options, 'echo-node'], project)
}
