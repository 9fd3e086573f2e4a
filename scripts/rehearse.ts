/**
 * Rehearses a release: publishes a staged copy to a registry of its own, then does what a user does,
 * in an empty directory, with an empty cache and no compiler. Changes nothing in the checkout.
 */

import { cp } from 'node:fs/promises'
import { join } from 'node:path'

import { at } from '../support/paths.ts'
import { run } from '../support/run.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { compiles, imports, refusesOtherPlatforms, runsByNpx } from './rehearsal/checks.ts'
import { checkContents, judge } from './rehearsal/contents.ts'
import { openRegistry } from './rehearsal/registry.ts'
import { User } from './rehearsal/user.ts'
import { stage, type Stage } from './stage.ts'

const TOOLS = at('scripts/rehearsal/tools')

async function step<T>(what: string, action: () => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await action()
  console.log(`ok - ${what} (${((performance.now() - start) / 1000).toFixed(1)} s)`)
  return result
}

async function publish({ main, platforms }: Stage, publisher: User): Promise<void> {
  // The binaries first, so that no one can install the package before them.
  for (const directory of [...platforms.values(), main]) {
    await publisher.run(['npm', 'publish', '--ignore-scripts', '--access', 'public'], directory)
  }
}

async function rehearse(work: string): Promise<void> {
  const tools = join(work, 'tools')
  await step('tools installed', async () => {
    await cp(TOOLS, tools, { recursive: true })
    await run(['npm', 'ci', '--no-audit', '--no-fund'], { cwd: tools })
  })
  const staged = await step('staged', () => stage(join(work, 'stage')))
  const tarball = await step('the packages hold what they should', () => checkContents(staged, work))
  await step('publint and attw find nothing', () => judge(tarball, tools))
  const registry = await openRegistry(tools, join(work, 'storage'))
  try {
    const publisher = await User.settle(join(work, 'publisher'), registry.url)
    await step(`published with ${[...staged.platforms.keys()].join(', ')}`, () => publish(staged, publisher))
    const user = await User.settle(join(work, 'user'), registry.url)
    await step('npx echo-node answers the transcripts', () => runsByNpx(user))
    const project = await step('import and require', () => imports(user))
    await step('TypeScript compiles against it', () => compiles(project))
    await step('an unsupported platform is told so', () => refusesOtherPlatforms(user))
  } finally {
    registry.close()
  }
}

try {
  using work = await temporaryDirectory()
  await rehearse(work.path)
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
