// What the documentation shows, as it stands.

import { readdirSync } from 'node:fs'

import test from 'ava'

import { at, typescript } from '../support/paths.ts'
import { attempt } from '../support/run.ts'

const EXAMPLES = readdirSync(at('examples')).filter((name) => name.endsWith('.test.ts'))

for (const name of EXAMPLES) {
  test(`examples/${name} passes`, async (t) => {
    const { code, stdout } = await attempt(typescript(`examples/${name}`), { timeout: 60_000 })
    t.is(code, 0, stdout)
    t.regex(stdout, /^. pass [1-9]/mu)
  })
}
