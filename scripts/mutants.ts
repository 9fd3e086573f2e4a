/**
 * Changes the TypeScript of the package in places spread evenly over it, one at a time, and tells which changes its specs do not
 * notice: `npm run mutants:js -- 150 bin/`, for so many in the files whose paths begin so. Works on copies of the checkout.
 */

import { cp, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'

import { parseSync } from 'oxc-parser'

import { at, ROOT } from '../support/paths.ts'
import { attempt } from '../support/run.ts'
import { temporaryDirectory } from '../support/temporary.ts'

const WORKERS = 2
/** How long no test may end: a change may let one wait for what never comes. */
const PATIENCE = '1m'
/** Milliseconds, for the specs of a file. */
const TIMEOUT = 300_000
/** What needs no copy. */
const LEFT_OUT = new Set(['.git', 'node_modules', 'target'])

/** The specs of the files whose paths begin so, those first that take the least time; the first that fits counts. */
const SPECS: [start: string, ...specs: string[]][] = [
  ['maelstrom/', '{node-requests,node-streams,node-text,transcripts}', 'node-{hostile,order,pipeline}'],
  ['bin/', '{command,format}', '{command-*,ping}'],
  ['api/binding', '{api,command,package-failures}'],
  ['', '{api,events,send-elsewhere}', '{api-hostile,faults-on-purpose,lifecycle,node-requests,stalls}'],
]

/** What stands in for an operator. */
const OPERATORS: Record<string, string[]> = {
  '===': ['!=='],
  '!==': ['==='],
  '<': ['<=', '>'],
  '<=': ['<', '>'],
  '>': ['>=', '<'],
  '>=': ['>', '<'],
  '+': ['-'],
  '-': ['+'],
  '*': ['/'],
  '/': ['*'],
  '%': ['*'],
  '&': ['|'],
  '|': ['&'],
  '&&': ['||'],
  '||': ['&&'],
  '??': ['&&'],
}

interface Node {
  type: string
  start: number
  end: number
  [key: string]: unknown
}

interface Mutant {
  path: string
  start: number
  end: number
  to: string
}

type Change = Omit<Mutant, 'path'>

/** What may be changed in a node itself. */
function changesOf(node: Node, text: string): Change[] {
  const instead = (to: string, { start, end } = node): Change => ({ start, end, to })
  const part = (key: string) => node[key] as Node
  switch (node.type) {
    case 'BinaryExpression':
    case 'LogicalExpression': {
      const operator = node['operator'] as string
      const start = text.indexOf(operator, part('left').end)
      return (OPERATORS[operator] ?? []).map((to) => ({ start, end: start + operator.length, to }))
    }
    case 'IfStatement':
    case 'ConditionalExpression':
      return ['true', 'false'].map((to) => instead(to, part('test')))
    case 'UnaryExpression':
      return node['operator'] === '!' ? [instead(text.slice(part('argument').start, node.end))] : []
    case 'ReturnStatement':
      return /^return( undefined)?;?$/.test(text.slice(node.start, node.end)) ? [] : [instead('return')]
    case 'ExpressionStatement':
      return [instead(';')]
    case 'Literal':
      return [instead(otherThan(node['value']))].filter(({ to }) => to !== '')
    default:
      return []
  }
}

function otherThan(value: unknown): string {
  if (typeof value === 'boolean') return String(!value)
  if (typeof value === 'number') return String(value + 1)
  return typeof value === 'string' ? "'mutant'" : ''
}

/** All changes of what runs in a node. */
function changesIn(value: unknown, text: string): Change[] {
  if (Array.isArray(value)) return value.flatMap((item) => changesIn(item, text))
  if (typeof value !== 'object' || value === null || !('type' in value)) return []
  const { key, ...node } = value as Node
  const isType = node.type.startsWith('TS') && !('expression' in node)
  const isOfModules = 'source' in node && node['source'] !== null
  if (isType || isOfModules) return []
  const children = Object.values(node['computed'] === true ? { key, ...node } : node)
  return [...changesOf(node, text), ...changesIn(children, text)]
}

async function mutantsOf(path: string): Promise<Mutant[]> {
  const text = await readFile(at(path), 'utf8')
  const changes = changesIn(parseSync(path, text).program, text)
  return changes.toSorted((a, b) => a.start - b.start).map((change) => Object.assign(change, { path }))
}

/** So many of them at the same distance, or all. */
function spread<T>(all: T[], count: number): T[] {
  const step = Math.max(1, all.length / count)
  return all.filter((_, index) => index % step < 1)
}

/** The specs of a file. */
function specsOf(path: string): string[] {
  return SPECS.find(([beginning]) => path.startsWith(beginning))!.slice(1)
}

/** The first of these specs that do not pass in a copy of the checkout. */
async function failing(copy: string, specs: string[]): Promise<string | undefined> {
  // It makes also what it finds wrong.
  await attempt(['npx', 'tsc'], { cwd: copy })
  for (const some of specs) {
    const ava = ['npx', 'ava', '--fail-fast', '--concurrency=2', `--timeout=${PATIENCE}`, `__test__/${some}.spec.ts`]
    if ((await attempt(ava, { cwd: copy, timeout: TIMEOUT })).code !== 0) return some
  }
  return undefined
}

/** Makes a copy of the checkout, in which these specs pass. */
async function prepare(copy: string, specs: string[]): Promise<string> {
  await cp(ROOT, copy, {
    recursive: true,
    preserveTimestamps: true,
    filter: (source) => !LEFT_OUT.has(relative(ROOT, source)),
  })
  await symlink(at('node_modules'), join(copy, 'node_modules'))
  const broken = await failing(copy, specs)
  if (broken !== undefined) throw new Error(`${broken} fails without a change`)
  return copy
}

/** Tries mutants until none is left, and returns how many nothing noticed. */
async function tryEach(mutants: Iterable<Mutant>, copy: string): Promise<number> {
  let missed = 0
  for (const { path, start, end, to } of mutants) {
    const text = await readFile(at(path), 'utf8')
    await writeFile(join(copy, path), text.slice(0, start) + to + text.slice(end))
    const isMissed = (await failing(copy, specsOf(path))) === undefined
    await writeFile(join(copy, path), text)
    if (isMissed) missed++
    const line = text.slice(0, start).split('\n').length
    console.log(
      `${isMissed ? 'MISSED ' : 'noticed'} ${path}:${line} ${text.slice(start, end).replace(/\s+/g, ' ')} -> ${to}`,
    )
  }
  return missed
}

async function filesThatBegin(beginning: string): Promise<string[]> {
  const names = await Promise.all(
    ['api', 'bin', 'maelstrom'].map(async (folder) => (await readdir(at(folder))).map((name) => `${folder}/${name}`)),
  )
  return ['index.ts', ...names.flat()].filter((path) => path.startsWith(beginning)).toSorted()
}

const [count = '150', beginning = ''] = process.argv.slice(2)
const files = await filesThatBegin(beginning)
const all = (await Promise.all(files.map(mutantsOf))).flat()
const mutants = spread(all, Number(count))
console.log(`${mutants.length} of ${all.length} changes`)
using directory = await temporaryDirectory()
// Each takes the next one.
const queue = mutants.values()
const specs = [...new Set(mutants.flatMap(({ path }) => specsOf(path)))]
const missed = await Promise.all(
  Array.from({ length: WORKERS }, async (_, worker) =>
    tryEach(queue, await prepare(join(directory.path, `${worker}`), worker === 0 ? specs : [])),
  ),
)
const noticed = missed.reduce((rest, each) => rest - each, mutants.length)
console.log(`${noticed} of ${mutants.length} noticed`)
process.exitCode = noticed === mutants.length ? 0 : 1
