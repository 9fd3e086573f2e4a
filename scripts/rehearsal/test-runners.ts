/** The package in test runners, which load modules in ways of their own. */

import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import { recipe } from '../../support/documents.ts'
import { binaryOf } from './project.ts'
import { expectFailure, expectSame } from './expect.ts'
import type { User } from './user.ts'

const WITH_MODULES = { NODE_OPTIONS: '--experimental-vm-modules' }
const BY_IMPORT = ['--testMatch', '**/import.test.mjs']

/** jest: by `require`, from two files in one process; by what babel makes of `import`; by `import`. */
export async function runsInJest(developer: User, project: string): Promise<void> {
  const jest = [developer.tool('jest'), '--json', '--runInBand']
  const required = await developer.run([...jest, 'require', 'babel'], project)
  const imported = await developer.run([...jest, ...BY_IMPORT], project, { env: WITH_MODULES })
  const passed = [required, imported].map((json) => (JSON.parse(json) as { numPassedTests: number }).numPassedTests)
  expectSame(passed, [3, 1], 'the numbers of tests that passed')
}

/** jest says what is wrong with a damaged binary, however it is reached. */
export async function jestTellsOfDamage(developer: User, project: string): Promise<void> {
  const damaged = await developer.directory('damaged')
  await cp(project, damaged, { recursive: true })
  await writeFile(join(damaged, await binaryOf(damaged)), '')
  const sentence = /the binary of echo-node cannot be loaded \(.*: file too short\): install echo-node again/
  const jest = developer.tool('jest')
  expectFailure(await developer.attempt([jest, 'require'], damaged), sentence)
  expectFailure(await developer.attempt([jest, ...BY_IMPORT], damaged, WITH_MODULES), sentence)
}

/** vitest. */
export async function runsInVitest(developer: User, project: string): Promise<void> {
  await developer.run([developer.tool('vitest'), 'run', '--globals', 'import'], project)
}

/** The test of docs/recipes.md, in vitest and in jest. */
export async function runsRecipe(developer: User, project: string): Promise<void> {
  for (const runner of ['vitest', 'jest'] as const) {
    await writeFile(join(project, `${runner}-recipe.test.mjs`), recipe(runner))
  }
  await developer.run([developer.tool('vitest'), 'run', 'vitest-recipe'], project)
  const jest = [developer.tool('jest'), '--json', '--runInBand', '--testMatch', '**/jest-recipe.test.mjs']
  const json = await developer.run(jest, project, { env: WITH_MODULES })
  expectSame((JSON.parse(json) as { numPassedTests: number }).numPassedTests, 3, 'the number of tests that passed')
}
