// What a newcomer runs first, besides the demo: the examples, and Maelstrom where there is one.

import { chmod, cp, mkdir, readdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { at, EXECUTABLE } from '../support/paths.ts'
import { attempt } from '../support/run.ts'
import { temporaryDirectory } from '../support/temporary.ts'
import { runScript } from './support/command.ts'

const GOOD = ':stats {:valid? true, :count 9, :ok-count 9, :fail-count 0, :info-count 0,\n :by-f {:echo {:ok-count 9}}}'

/** A temporary directory that is gone after the test. */
async function directory(t: ExecutionContext): Promise<string> {
  const temporary = await temporaryDirectory()
  t.teardown(() => temporary[Symbol.dispose]())
  return temporary.path
}

/** A program that prints its arguments and the results of a run, as Maelstrom does; and then runs one more command. */
async function standIn(t: ExecutionContext, results: string, command = 'exit 0'): Promise<string> {
  const path = join(await directory(t), 'maelstrom')
  await writeFile(path, `#!/bin/sh\necho "arguments: $@"\ncat <<'END'\n${results}\nEND\n${command}\n`)
  await chmod(path, 0o755)
  return path
}

/** Runs `npm run maelstrom` with a temporary directory of its own; what it has left there. */
async function maelstrom(t: ExecutionContext, env: NodeJS.ProcessEnv) {
  const TMPDIR = await directory(t)
  const outcome = await runScript('scripts/maelstrom.ts', { env: { ...env, TMPDIR } })
  return { ...outcome, left: await readdir(TMPDIR) }
}

test('npm run maelstrom says how to get Maelstrom, and leaves nothing', async (t) => {
  const { code, stderr, left } = await maelstrom(t, { MAELSTROM: '/nowhere/maelstrom' })
  t.is(code, 1)
  t.true(stderr.startsWith('/nowhere/maelstrom was not found. Maelstrom is a Java program'))
  t.deepEqual(left, [])
})

test('npm run maelstrom runs the node under total availability, and reports the counts', async (t) => {
  const { code, stdout, left } = await maelstrom(t, { MAELSTROM: await standIn(t, GOOD) })
  t.is(code, 0)
  t.true(stdout.includes(`arguments: test -w echo --bin ${EXECUTABLE}`))
  t.true(stdout.includes('--availability total'))
  t.regex(stdout, /\npassed: ok 9, fail 0, info 0; exit code 0; no records\n$/)
  t.deepEqual(left, [], 'Maelstrom wrote no records')
})

test("npm run maelstrom keeps Maelstrom's records", async (t) => {
  const { stdout, left } = await maelstrom(t, { MAELSTROM: await standIn(t, GOOD, 'mkdir store') })
  t.is(left.length, 1)
  t.regex(stdout, new RegExp(`; records in .*/${left[0]}\n$`))
})

test('npm run maelstrom fails when a request does', async (t) => {
  const results = ':stats {:valid? true, :count 9, :ok-count 8, :fail-count 0, :info-count 1}'
  const { code, stdout } = await maelstrom(t, { MAELSTROM: await standIn(t, results) })
  t.is(code, 1)
  t.regex(stdout, /\nFAILED: ok 8, fail 0, info 1; exit code 0;/)
})

const WITHOUT_RESULTS = { 'exit 3': 'exit code 3', 'kill -9 $$': 'killed by SIGKILL' }

for (const [command, end] of Object.entries(WITHOUT_RESULTS)) {
  test(`npm run maelstrom says that Maelstrom gave no results: ${end}`, async (t) => {
    const { code, stdout } = await maelstrom(t, { MAELSTROM: await standIn(t, 'no JDK', command) })
    t.is(code, 1)
    t.true(stdout.endsWith(`\nFAILED: Maelstrom gave no results; ${end}; no records\n`), stdout)
  })
}

test('npm run maelstrom finds a relative path where the user is', async (t) => {
  const path = await standIn(t, GOOD)
  const { code, stderr } = await maelstrom(t, { MAELSTROM: './maelstrom', INIT_CWD: dirname(path) })
  t.is(code, 0, stderr)
})

test('the linters pass over the records of a Maelstrom run in the checkout', async (t) => {
  const checkout = await directory(t)
  for (const file of ['.prettierignore', '.prettierrc.json', '.oxlintrc.json']) await cp(at(file), join(checkout, file))
  const prettier = () => attempt([at('node_modules/.bin/prettier'), '--check', '.'], { cwd: checkout })
  const oxlint = () => attempt([at('node_modules/.bin/oxlint'), '--deny-warnings'], { cwd: checkout })
  await writeFile(join(checkout, 'good.ts'), "export const good = 'yes'\n")
  for (const [folder, code] of [
    ['store', 0],
    ['other', 1],
  ] as const) {
    await mkdir(join(checkout, folder, 'echo'), { recursive: true })
    await writeFile(join(checkout, folder, 'echo/bad.ts'), 'debugger;;\n')
    const outcomes = [await prettier(), await oxlint()]
    t.deepEqual(
      outcomes.map((outcome) => outcome.code),
      [code, code],
      outcomes.map(({ stdout, stderr }) => stdout + stderr).join('\n'),
    )
  }
  const ignored = await attempt(['git', 'check-ignore', '--no-index', 'store/echo'], { cwd: at('.') })
  t.is(ignored.code, 0)
})
