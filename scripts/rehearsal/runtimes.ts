/** The package in the other runtimes that load addons of Node-API. */

import { existsSync } from 'node:fs'

import { CHECKS } from './project.ts'
import type { User } from './user.ts'

/** Where their packages have them. npm installs those for this machine. */
const BUN = '../@oven/bun-linux-x64/bin/bun'
const DENO = '../@deno/linux-x64-glibc/deno'

/** Bun. */
export async function runsInBun(developer: User, project: string): Promise<void> {
  for (const check of CHECKS) await developer.run([developer.tool(BUN), check], project)
}

/** Deno. */
export async function runsInDeno(developer: User, project: string): Promise<void> {
  const deno = [developer.tool(DENO), 'run', '--allow-all', '--node-modules-dir=manual']
  for (const check of CHECKS) await developer.run([...deno, check], project)
}

/** Whether this machine is one that the rehearsal has Bun and Deno for. */
export function hasOtherRuntimes(developer: User): boolean {
  return existsSync(developer.tool(BUN)) && existsSync(developer.tool(DENO))
}
