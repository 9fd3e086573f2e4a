// What the documents show: code that runs, commands that exist, output that looks like this.

import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import test, { type ExecutionContext } from 'ava'

import { readArguments } from '../bin/arguments.ts'
import { Child, killAll } from '../support/children.ts'
import { recipe, snippets, textOf } from '../support/documents.ts'
import { at, EXECUTABLE, ROOT } from '../support/paths.ts'
import { freePort } from '../support/ports.ts'
import { attempt, run, type Outcome } from '../support/run.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const DOCUMENTS = [
  'README',
  ...['api', 'command', 'guide', 'maelstrom', 'recipes', 'tools'].map((name) => `docs/${name}`),
]
const CODE = DOCUMENTS.flatMap((name) => snippets(`${name}.md`, 'ts').map((code, index) => ({ name, index, code })))

/** What snippets take for granted. */
const READERS_OWN = `
declare const EchoServer: typeof import('echo-node').EchoServer
declare const server: import('echo-node').EchoServer
`
const TSC = at('node_modules/.bin/tsc')

test.after.always(killAll)

/** A project of somebody who has installed this package. */
async function project(t: ExecutionContext): Promise<string> {
  const directory = await temporaryDirectory()
  t.teardown(() => directory[Symbol.dispose]())
  const modules = join(directory.path, 'node_modules')
  await mkdir(join(modules, '.bin'), { recursive: true })
  await symlink(ROOT, join(modules, 'echo-node'))
  await symlink(at('node_modules/@types'), join(modules, '@types'))
  await symlink(at('node_modules/ava'), join(modules, 'ava'))
  await symlink(EXECUTABLE, join(modules, '.bin/echo-node'))
  return directory.path
}

test('all code is TypeScript that compiles', async (t) => {
  const path = await project(t)
  await writeFile(join(path, 'readers-own.d.ts'), READERS_OWN)
  for (const { name, index, code } of CODE) {
    await writeFile(join(path, `${name.replace('/', '-')}-${index}.mts`), code)
  }
  await copyFile(at('tsconfig.json'), join(path, 'base.json'))
  const own = { noEmit: true, noUnusedLocals: false, noUnusedParameters: false }
  const settings = { extends: './base.json', compilerOptions: own, include: ['*.mts', '*.d.ts'] }
  await writeFile(join(path, 'tsconfig.json'), JSON.stringify(settings))
  t.true(CODE.length >= 5)
  t.is(await run([TSC, '-p', '.'], { cwd: path }), '')
})

/** Runs code of a document, and checks the values that stand behind it: `send('hello') // { echoed: 'hello', bytes: 5 }`. */
async function runs(t: ExecutionContext, code: string): Promise<Outcome> {
  const path = await project(t)
  const checked = code.replace(/^(.*\)) \/\/ (\{ .*\})$/gm, (_, call: string, value: string) => {
    return `equal(${call}, ${JSON.stringify(value)})`
  })
  const port = await freePort()
  const [elsewhere, here] = [`'localhost', port: ${port}`, String(port)]
  const file = join(path, 'snippet.mts')
  await writeFile(file, PRELUDE + checked.replace(`'db.example.com', port: 7`, elsewhere).replaceAll('7007', here))
  return attempt([process.execPath, '--import', import.meta.resolve('@oxc-node/core/register'), file], { cwd: path })
}

const PRELUDE = `
import { equal as same } from 'node:assert/strict'
import { inspect } from 'node:util'
function equal(got: unknown, expected: string): void {
  same(inspect(got, { breakLength: Infinity }), expected)
}
`

for (const [name, index] of [
  ['docs/guide', 0],
  ['docs/guide', 1],
] as const) {
  test(`code of ${name}.md runs: ${index}`, async (t) => {
    const code = snippets(`${name}.md`, 'ts')[index]!
    t.like(await runs(t, code), { code: 0, stderr: '' })
  })
}

for (const [document, count] of [
  ['README.md', 2],
  ['docs/recipes.md', 3],
] as const) {
  test(`the test in ${document} runs in node:test`, async (t) => {
    const path = await project(t)
    await writeFile(join(path, 'client.test.mjs'), snippets(document, 'js')[0]!)
    const node = [process.execPath, '--test', '--test-reporter=tap']
    t.regex(await run([...node, 'client.test.mjs'], { cwd: path }), new RegExp(`^# pass ${count}$`, 'm'))
  })
}

test('the recipe runs in ava', async (t) => {
  const path = await project(t)
  await writeFile(join(path, 'recipe.test.mjs'), recipe('ava'))
  await writeFile(join(path, 'package.json'), '{ "ava": { "failWithoutAssertions": false } }')
  t.regex(await run([at('node_modules/.bin/ava'), '--tap', 'recipe.test.mjs'], { cwd: path }), /^# pass 3$/m)
})

test('every command is one that the executable takes', (t) => {
  const lines = DOCUMENTS.flatMap((name) => textOf(`${name}.md`).match(/npx (--yes )?echo-node( [^`#|\n]*|$)/gm) ?? [])
  t.true(lines.length >= 20)
  for (const line of lines) {
    const [words] = line.replace(/^npx (--yes )?echo-node/, '').split(/[>&]/)
    t.notThrows(() => readArguments(words!.split(' ').filter(Boolean)), line)
  }
})

test('every script of npm is there', (t) => {
  const { scripts } = JSON.parse(textOf('package.json')) as { scripts: Record<string, string> }
  const texts = [...DOCUMENTS, 'CONTRIBUTING', 'docs/performance', 'docs/reliability'].map((name) =>
    textOf(`${name}.md`),
  )
  const named = [...texts.join('').matchAll(/npm run ([\w:]+)/g)]
  t.true(named.length > 10)
  for (const [, name] of named) t.true(Object.hasOwn(scripts, name!), name)
})

/** The lines with something for each number, time and address. */
function shapes(text: string): string[] {
  const lines = text
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('$'))
  return lines.map((line) => line.replaceAll(/[\d.]+ m?s\b/g, 'T').replaceAll(/[\d.]+/g, 'N'))
}

test('serve and ping print what README.md shows', async (t) => {
  const [served, pinged] = snippets('README.md', '')
  const command = [process.execPath, EXECUTABLE]
  const server = new Child([...command, 'serve', '-p', '0', '--verbose', '--stall-after', '10', '--share', '0.3'])
  const listening = await server.line()
  const [, port] = /:(\d+)/.exec(listening)!
  const { stdout } = await attempt([...command, 'ping', `127.0.0.1:${port}`, '--count', '3', '--timeout', '1s'])
  const ofPing = new Set(shapes(stdout))
  for (const shape of shapes(pinged!)) t.true(ofPing.has(shape), `${shape}\n${stdout}`)
  // The first round is the one that stalls.
  const lines = [listening, await server.line(), await server.line(), await server.line(), await server.line()]
  const ofServe = new Set(shapes(lines.join('\n')))
  for (const shape of shapes(served!)) t.true(ofServe.has(shape), `${shape}\n${lines.join('\n')}`)
  t.is(await server.kill('SIGTERM'), 0)
})

for (const [document, index] of [
  ['README.md', 2],
  ['docs/maelstrom.md', 0],
] as const) {
  test(`the node answers as ${document} shows`, async (t) => {
    const lines = snippets(document, '')[index]!.trimEnd().split('\n').slice(1)
    const input = lines.filter((line) => line.startsWith('{"src": "c1"')).join('\n')
    const replies = lines.filter((line) => line.startsWith('{"src": "n1"'))
    t.is(replies.length, lines.length / 2)
    const stdout = await run([process.execPath, EXECUTABLE], { input })
    const [, port] = /"port": (\d+)/.exec(stdout) ?? []
    t.is(stdout.trimEnd(), replies.join('\n').replace('40123', port ?? ''))
  })
}

test('a server in the background is ended as docs/recipes.md says', async (t) => {
  const path = await project(t)
  const background = snippets('docs/recipes.md', 'sh').at(-1)!
  const env = { PORT: '0', npm_config_offline: 'true', npm_config_cache: join(path, 'cache') }
  const { code, stdout, stderr } = await attempt(['bash', '-c', `${background}wait && cat serve.log`], {
    cwd: path,
    env,
  })
  t.deepEqual([code, stderr], [0, ''])
  t.regex(stdout, /^0 connections, 0 B echoed$/m)
})
