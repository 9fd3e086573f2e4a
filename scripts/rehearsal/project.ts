/** A project that uses the package. */

import { cp, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { at } from '../../support/paths.ts'
import { expectSame } from './expect.ts'
import type { User } from './user.ts'

const CONSUMER = at('scripts/rehearsal/consumer')

/** Scripts of a project that use the package, by `import` and by `require`. */
export const CHECKS = ['check.mjs', 'check.cjs']

/** Makes a project, without the package. */
export async function makeProject(user: User, name: string): Promise<string> {
  const project = await user.directory(name)
  await cp(CONSUMER, project, { recursive: true })
  await writeFile(join(project, 'package.json'), '{ "private": true }')
  return project
}

/** Makes a project, and has npm install the package in it. */
export async function makeWithPackage(user: User, name: string, options: string[] = []): Promise<string> {
  const project = await makeProject(user, name)
  const { code, stderr } = await user.attempt(['npm', 'install', ...options, 'echo-node'], project)
  expectSame({ code, stderr }, { code: 0, stderr: '' }, 'npm install, without a warning')
  return project
}

/** Where npm has put the binary for this machine, from the project's directory. */
export async function binaryOf(project: string): Promise<string> {
  const packages = await readdir(join(project, 'node_modules'))
  const name = packages.find((entry) => entry.startsWith(`echo-node-linux-${process.arch}-`))
  if (name === undefined) throw new Error(`no binary for this machine was installed, only ${packages.join(', ')}`)
  return join('node_modules', name, `${name.replace('echo-node-', 'echo-node.')}.node`)
}
