// Tests that need a program which not every machine has.

import test from 'ava'

import { locate } from '../../support/programs.ts'

/** What only Linux has. */
const OF_LINUX = new Set(['ip', 'script', 'strace', 'unshare'])

/**
 * `test.serial`, or its `skip` where the program is not installed; in CI a missing program is a failure, but for those of
 * another system.
 */
export function needing(program: string) {
  const isElsewhere = process.platform !== 'linux' && OF_LINUX.has(program)
  return (process.env['CI'] && !isElsewhere) || locate(program) ? test.serial : test.serial.skip
}
