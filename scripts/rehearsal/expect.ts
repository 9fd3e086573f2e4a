/** What has to turn out as expected. Each throws if it does not. */

import type { Outcome } from '../../support/run.ts'

/** Throws if two values differ. */
export function expectSame(actual: unknown, expected: unknown, what: string): void {
  const [is, shouldBe] = [JSON.stringify(actual), JSON.stringify(expected)]
  if (is !== shouldBe) throw new Error(`${what} must be ${shouldBe}, got ${is}`)
}

/** Expects a command that failed and said this. */
export function expectFailure({ code, stdout, stderr }: Outcome, saying: RegExp): void {
  if (code === 0) throw new Error(`succeeded, and did not say ${saying}:\n${stdout}${stderr}`)
  if (!saying.test(stdout + stderr)) throw new Error(`did not say ${saying}:\n${stdout}${stderr}`)
}
