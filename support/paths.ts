// Where things are in the checkout.

import { fileURLToPath } from 'node:url'

/** The absolute path of a file or folder of the checkout. */
export function at(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url))
}

/** The checkout. */
export const ROOT = at('.')

/** The command that `npm run build:js` makes. */
export const EXECUTABLE = at('dist/bin/echo-node.js')

/** The command that runs a TypeScript program of the checkout in a Node.js of its own. */
export function typescript(path: string, args: readonly string[] = [], flags: readonly string[] = []): string[] {
  return [process.execPath, ...flags, '--import', '@oxc-node/core/register', at(path), ...args]
}
