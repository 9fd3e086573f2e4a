// Which programs this machine has.

import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join, resolve } from 'node:path'

/**
 * The absolute path of a program: of a name, where PATH finds it; of a path, itself. Relative paths start at `from`.
 * Undefined if there is no such program.
 */
export function locate(program: string, from = process.cwd()): string | undefined {
  const folders = program.includes('/') ? [''] : (process.env['PATH'] ?? '').split(delimiter)
  return folders.map((folder) => resolve(from, join(folder, program))).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
