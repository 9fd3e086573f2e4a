import test from 'ava'

import { startScript } from './support/command.ts'
import { cargo, example, testPrograms } from './support/cargo.ts'
import { Child, killAll } from '../support/children.ts'
import { at } from '../support/paths.ts'
import { anonymousBytes } from '../support/proc.ts'
import { SOAK } from './support/size.ts'
import { needing } from './support/tools.ts'

test.afterEach.always(killAll)

const MINUTES = 600_000
const CONNECTIONS = 10_000

async function crowd(port: string, count: number): Promise<Child> {
  const clients = startScript('load-child.ts', ['crowd', port, String(count)])
  await clients.json(MINUTES)
  return clients
}

// The example has no heap but the engine's.
for (const threads of [1, 8]) {
  test.serial(`${CONNECTIONS} idle connections cost at most 64 bytes each, with ${threads} threads`, async (t) => {
    const server = new Child([await example('serve'), '127.0.0.1:0', '50', `${threads}`])
    const port = (await server.line()).split(':')[1]!
    // The buffers and the stacks are touched once.
    await crowd(port, 10 * threads)
    const before = anonymousBytes(server.pid)
    const clients = await crowd(port, CONNECTIONS)
    const each = (anonymousBytes(server.pid) - before) / CONNECTIONS
    t.log(`${each} bytes for each of ${CONNECTIONS} idle connections`)
    t.true(each <= 64, `${each} bytes`)
    await clients.kill()
    server.process.stdin.end()
    t.is(await server.end(), 0)
  })
}

/** What runs under valgrind, which takes minutes for the rest. */
const QUICK = {
  engine: ['connection::', 'connections::', 'echo::', 'failure::'],
  alone: ['memory::'],
}

const SELECTED = {
  // valgrind takes longer for a gigabyte than that test waits.
  engine: SOAK ? ['--skip', 'large_sends'] : QUICK.engine,
  // The others limit the descriptors of their process, and valgrind needs some of its own.
  alone: SOAK ? ['--skip', 'descriptors::'] : QUICK.alone,
}

const VALGRIND = [
  '--quiet',
  '--error-exitcode=99',
  '--leak-check=full',
  '--show-leak-kinds=definite,indirect,possible',
  '--errors-for-leak-kinds=definite,indirect,possible',
  `--suppressions=${at('scripts/valgrind.supp')}`,
]

needing('valgrind')('valgrind finds no error and no leak in the tests of the engine', async (t) => {
  t.timeout(MINUTES)
  for (const { name, path } of await testPrograms()) {
    if (!(name in SELECTED)) continue
    const selected = SELECTED[name as keyof typeof SELECTED]
    const valgrind = new Child([
      'env',
      `TEST_SECONDS=${MINUTES / 1000}`,
      'valgrind',
      ...VALGRIND,
      path,
      '--quiet',
      ...selected,
    ])
    valgrind.process.stdout.resume()
    const code = await valgrind.end(MINUTES)
    t.is(code, 0, `${name}: ${valgrind.stderr}`)
    t.log(`${name}: no error, no leak`)
  }
})

const soak = SOAK ? test.serial : test.serial.skip

// Instrumented, with a standard library that is not: it sees what the engine does with its own memory.
soak('the address sanitizer finds nothing in the tests of the engine', async (t) => {
  t.timeout(MINUTES)
  const host = /host: (.+)/.exec(await cargo(['--version', '--verbose']))![1]!
  const options = ['--package', 'echo-node', '--target', host, '--target-dir', 'target/asan']
  const flags = { RUSTC_BOOTSTRAP: '1', RUSTFLAGS: '-Zsanitizer=address' }
  await cargo(['build', '--examples', ...options], flags)
  const stdout = await cargo(['test', '--lib', '--tests', ...options], flags)
  const passed = [...stdout.matchAll(/(\d+) passed; 0 failed/g)].reduce((sum, [, count]) => sum + Number(count), 0)
  t.log(`${passed} tests passed under the address sanitizer`)
  t.true(passed > 0)
})
