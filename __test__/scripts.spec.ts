// What a newcomer runs first, besides the demo: the examples, and Maelstrom where there is one.

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { EXECUTABLE } from '../support/paths.ts'
import { runScript } from './support/command.ts'

/** A program that prints its arguments and the results of a run, as Maelstrom does. */
async function standIn(t: ExecutionContext, results: string, code: number): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'echo-node-'))
  t.teardown(() => rm(directory, { recursive: true }))
  const path = join(directory, 'maelstrom')
  await writeFile(path, `#!/bin/sh\necho "arguments: $@"\ncat <<'END'\n${results}\nEND\nexit ${code}\n`)
  await chmod(path, 0o755)
  return path
}

test('the example of a test passes', async (t) => {
  // Node 20 sets this for its test runner's children, which then write for a machine.
  const { code, stdout } = await runScript('examples/client.test.ts', ['--test'], { NODE_OPTIONS: '' })
  t.is(code, 0, stdout)
})

test('npm run maelstrom says how to get Maelstrom', async (t) => {
  const { code, stderr } = await runScript('scripts/maelstrom.ts', [], { MAELSTROM: '/nowhere/maelstrom' })
  t.is(code, 1)
  t.true(stderr.startsWith('No /nowhere/maelstrom was found. Maelstrom is a Java program'))
})

test('npm run maelstrom runs the node under total availability, and reports the counts', async (t) => {
  const results =
    ':stats {:valid? true, :count 9, :ok-count 9, :fail-count 0, :info-count 0,\n :by-f {:echo {:ok-count 9}}}'
  const { code, stdout } = await runScript('scripts/maelstrom.ts', [], { MAELSTROM: await standIn(t, results, 0) })
  t.is(code, 0)
  t.true(stdout.includes(`arguments: test -w echo --bin ${EXECUTABLE}`))
  t.true(stdout.includes('--availability total'))
  t.regex(stdout, /\npassed: ok 9, fail 0, info 0; exit code 0;/)
})

test('npm run maelstrom fails when a request does', async (t) => {
  const results = ':stats {:valid? true, :count 9, :ok-count 8, :fail-count 0, :info-count 1}'
  const { code, stdout } = await runScript('scripts/maelstrom.ts', [], { MAELSTROM: await standIn(t, results, 0) })
  t.is(code, 1)
  t.regex(stdout, /\nFAILED: ok 8, fail 0, info 1; exit code 0;/)
})
