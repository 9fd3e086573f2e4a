// Tests that need a program which not every machine has.

import test from 'ava'

import type { Command } from '../../support/children.ts'
import { locate } from '../../support/programs.ts'

/** What Linux has, or has otherwise. */
const OF_LINUX = new Set(['ip', 'ncat', 'script', 'socat', 'strace', 'unshare'])

/**
 * `test.serial`, or its `skip` where the program is not installed; in CI a missing program is a failure, but for those of
 * another system. `alone: false` is for a test that mostly waits: it runs beside others.
 */
export function needing(program: string, { alone = true } = {}) {
  const run = alone ? test.serial : test
  if (process.platform !== 'linux' && OF_LINUX.has(program)) return run.skip
  return process.env['CI'] || locate(program) ? run : run.skip
}

/** A command line for bash at a terminal of its own, with script(1): not by the user's shell, as shells end by Ctrl-C in several ways. */
export function atTerminal(commandLine: string): Command {
  return ['env', `SHELL=${locate('bash')}`, 'script', '-qfec', commandLine, '/dev/null']
}
