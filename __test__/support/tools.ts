// Tests that need a program which not every machine has.

import { accessSync, constants } from 'node:fs'
import { join } from 'node:path'

import test from 'ava'

/** `test.serial`, or its `skip` where the program is not installed; in CI a program that is missing is a failure. */
export function needing(program: string) {
  return process.env['CI'] || isInstalled(program) ? test.serial : test.serial.skip
}

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((directory) => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}
