// Tests that need a program which not every machine has.

import test from 'ava'

import { locate } from '../../support/programs.ts'

/** What Linux has, or has otherwise. */
const OF_LINUX = new Set(['ip', 'ncat', 'script', 'socat', 'strace', 'unshare'])

/**
 * `test.serial`, or its `skip` where the program is not installed; in CI a missing program is a failure, but for those of
 * another system.
 */
export function needing(program: string) {
  if (process.platform !== 'linux' && OF_LINUX.has(program)) return test.serial.skip
  return process.env['CI'] || locate(program) ? test.serial : test.serial.skip
}
