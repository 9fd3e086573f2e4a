/** The package as pnpm and Yarn lay it out. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { CHECKS, makeProject } from './project.ts'
import type { User } from './user.ts'

/** pnpm. */
export async function installsWithPnpm(developer: User): Promise<void> {
  const project = await makeProject(developer, 'pnpm')
  await developer.run([developer.tool('pnpm'), 'add', 'echo-node'], project)
  for (const check of CHECKS) await developer.run(['node', check], project)
}

/** Yarn with Plug'n'Play, which keeps packages in archives. */
export async function installsWithYarn(developer: User, registry: string): Promise<void> {
  const project = await makeProject(developer, 'yarn')
  const settings = {
    npmRegistryServer: registry,
    unsafeHttpWhitelist: ['127.0.0.1'],
    npmMinimalAgeGate: 0,
    nodeLinker: 'pnp',
    pnpEnableEsmLoader: true,
    enableTelemetry: false,
  }
  // JSON is YAML.
  await writeFile(join(project, '.yarnrc.yml'), JSON.stringify(settings))
  await writeFile(join(project, 'yarn.lock'), '')
  const yarn = developer.tool('yarn')
  await developer.run([yarn, 'add', 'echo-node'], project)
  for (const check of CHECKS) await developer.run([yarn, 'node', check], project)
}
