// What the tests, the benchmark and the scripts rely on: nothing stays behind, however they end.

import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import test from 'ava'

import { Child, killAll } from '../support/children.ts'
import { at } from '../support/paths.ts'
import { locate } from '../support/programs.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { until } from '../support/wait.ts'

test.after.always(killAll)

/** Starts a program that uses the modules in `support/`. */
function program(code: string): Child {
  const imports = ['children', 'run', 'temporary'].map(
    (name) => `import * as ${name} from '${at(`support/${name}.ts`)}'`,
  )
  const flags = ['--import', '@oxc-node/core/register', '--input-type=module', '--eval']
  return new Child([process.execPath, ...flags, [...imports, code].join('\n')])
}

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  test(`a child dies with a parent that ends by ${signal}`, async (t) => {
    const parent = program("console.log(new children.Child(['sleep', '100']).pid)")
    const pid = await parent.line()
    t.true(existsSync(`/proc/${pid}`))
    await parent.kill(signal)
    await until('the child is gone', () => !existsSync(`/proc/${pid}`))
    t.pass()
  })

  test(`so does a command that runs when the parent ends by ${signal}`, async (t) => {
    using directory = await temporaryDirectory()
    const file = join(directory.path, 'pid')
    const parent = program(`await run.attempt(['sh', '-c', 'echo $$ >${file}; exec sleep 100'])`)
    const pid = await until('the command runs', () => existsSync(file) && readFileSync(file, 'utf8').trim())
    await parent.kill(signal)
    await until('the command is gone', () => !existsSync(`/proc/${pid}`))
    t.pass()
  })
}

const ENDS = {
  'process.exit()': 'process.exit()',
  // Not in the callback of the write itself: Node.js 24.21 takes no notice of it there.
  'an exception': 'setImmediate(() => { throw new Error() })',
  SIGTERM: '',
  SIGINT: '',
  SIGHUP: '',
}

for (const [name, code] of Object.entries(ENDS)) {
  test(`a temporary directory is gone when its process ends by ${name}`, async (t) => {
    const child = program(`
      const { path } = await temporary.temporaryDirectory()
      process.stdout.write(path + '\\n', () => { ${code} })
      setInterval(() => {}, 1000)
    `)
    const path = await child.line()
    if (code === '') child.process.kill(name as NodeJS.Signals)
    await child.end()
    t.false(existsSync(path))
  })
}

test('a program is found by its name in PATH, or by its path from where the user is', (t) => {
  t.is(locate('node_modules/.bin/ava', at('.')), at('node_modules/.bin/ava'))
  t.is(locate('./ava', at('node_modules/.bin')), at('node_modules/.bin/ava'))
  t.truthy(locate('sh'))
  t.is(locate('no-such-program'), undefined)
  t.is(locate('./support', at('.')), undefined, 'a folder is no program')
})
