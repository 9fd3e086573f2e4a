// Tests that need a program which not every machine has.

import test from 'ava'

import { locate } from '../../support/programs.ts'

/** `test.serial`, or its `skip` where the program is not installed; in CI a missing program is a failure. */
export function needing(program: string) {
  return process.env['CI'] || locate(program) ? test.serial : test.serial.skip
}
