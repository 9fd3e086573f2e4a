/** The package's types, for every way of TypeScript to resolve modules. */

import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { at } from '../../support/paths.ts'
import type { User } from './user.ts'

const WAYS = [
  { module: 'node16', moduleResolution: 'node16' },
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'preserve', moduleResolution: 'bundler' },
]

/** ES modules and CommonJS compile against it, with the oldest and the newest TypeScript. */
export async function compiles(developer: User, project: string): Promise<void> {
  await mkdir(join(project, 'node_modules/@types'))
  await symlink(at('node_modules/@types/node'), join(project, 'node_modules/@types/node'))
  await symlink(at('node_modules/undici-types'), join(project, 'node_modules/undici-types'))
  for (const way of WAYS) {
    const compilerOptions = {
      ...way,
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      target: 'es2022',
      types: ['node'],
    }
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['types.mts', 'types.cts'] }),
    )
    for (const tsc of [developer.tool('tsc'), at('node_modules/.bin/tsc')]) await developer.run([tsc], project)
  }
}
