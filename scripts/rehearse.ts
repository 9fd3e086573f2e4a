/**
 * Rehearses a release: publishes a staged copy to a registry of its own, then does what a user does,
 * in an empty directory, with an empty cache and no compiler. Changes nothing in the checkout.
 */

import { cp } from 'node:fs/promises'
import { join } from 'node:path'

import { at } from '../support/paths.ts'
import { run } from '../support/run.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import {
  bundlesWithEsbuild,
  bundlesWithNcc,
  bundlesWithoutBinary,
  bundlesWithRollup,
  bundlesWithVite,
  isTraced,
} from './rehearsal/bundlers.ts'
import { imports, refusesOtherPlatforms, runsByNpx } from './rehearsal/checks.ts'
import { checkContents, judge } from './rehearsal/contents.ts'
import { installsWithPnpm, installsWithYarn } from './rehearsal/package-managers.ts'
import { makeWithPackage } from './rehearsal/project.ts'
import { openRegistry } from './rehearsal/registry.ts'
import { hasOtherRuntimes, runsInBun, runsInDeno } from './rehearsal/runtimes.ts'
import { jestTellsOfDamage, runsInJest, runsInVitest, runsRecipe } from './rehearsal/test-runners.ts'
import { compiles } from './rehearsal/types.ts'
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
    await step('import and require', () => imports(user))
    await step('an unsupported platform is told so', () => refusesOtherPlatforms(user))
    await rehearseWithTools(await User.settle(join(tools, 'developer'), registry.url), registry.url)
  } finally {
    registry.close()
  }
}

/** What those do who have tools of their own, around their home. */
async function rehearseWithTools(developer: User, registry: string): Promise<void> {
  const project = await step('a project with tools', () => makeWithPackage(developer, 'project'))
  await step('TypeScript compiles against it', () => compiles(developer, project))
  await step('jest', () => runsInJest(developer, project))
  await step('jest tells of a damaged binary', () => jestTellsOfDamage(developer, project))
  await step('vitest', () => runsInVitest(developer, project))
  await step('the recipe of the documents, in both', () => runsRecipe(developer, project))
  await step('esbuild', () => bundlesWithEsbuild(developer, project))
  await step('a bundle without the binary says what to do', () => bundlesWithoutBinary(developer, project))
  await step('rollup', () => bundlesWithRollup(developer, project))
  await step('vite', () => bundlesWithVite(developer, project))
  await step('@vercel/ncc', () => bundlesWithNcc(developer, project))
  await step('@vercel/nft', () => isTraced(developer, project))
  await step('pnpm', () => installsWithPnpm(developer))
  await step("Yarn Plug'n'Play", () => installsWithYarn(developer, registry))
  if (!hasOtherRuntimes(developer)) return console.log('skipped - Bun and Deno: not for this machine')
  await step('Bun', () => runsInBun(developer, project))
  await step('Deno', () => runsInDeno(developer, project))
}

try {
  using work = await temporaryDirectory()
  await rehearse(work.path)
} catch (error) {
  console.error((error as Error).message)
  process.exitCode = 1
}
