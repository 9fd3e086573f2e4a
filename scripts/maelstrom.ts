// npm run maelstrom: runs Maelstrom's echo workload against the node, and says in one line how it went. Arguments after
// -- go to `maelstrom test`, and take precedence: npm run maelstrom -- --node-count 5 --time-limit 60

import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const EXECUTABLE = fileURLToPath(new URL('../dist/bin/echo-node.js', import.meta.url))
const MAELSTROM = process.env['MAELSTROM'] ?? 'maelstrom'
const HOW_TO_GET_IT = `No ${MAELSTROM} was found. Maelstrom is a Java program: install a JDK, download a release from
https://github.com/jepsen-io/maelstrom/releases, and put its folder into PATH, or the path of its script into MAELSTROM.`

const DEFAULTS = {
  '--node-count': '3',
  '--concurrency': '2n',
  '--rate': '500',
  '--time-limit': '10',
  // Without it a node that dies passes: a request without an answer is then no failure.
  '--availability': 'total',
}

const given = process.argv.slice(2)
const defaults = Object.entries(DEFAULTS).filter(([option]) => !given.includes(option))
const args = ['test', '-w', 'echo', '--bin', EXECUTABLE, ...defaults.flat(), ...given]

// It writes its records into the directory it runs in.
const records = await mkdtemp(join(tmpdir(), 'echo-node-maelstrom-'))
const child = spawn(MAELSTROM, args, { cwd: records, stdio: ['ignore', 'pipe', 'inherit'] })
try {
  await once(child, 'spawn')
  process.exitCode = await judge(child)
} catch (error) {
  const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
  console.error(missing ? HOW_TO_GET_IT : (error as Error).message)
  process.exitCode = 1
}

/** Passes on what Maelstrom prints, and sums it up. Returns the exit code. */
async function judge(maelstrom: ChildProcessByStdio<null, Readable, null>): Promise<number> {
  const exited = once(maelstrom, 'exit') as Promise<[number | null]>
  maelstrom.stdout.pipe(process.stdout, { end: false })
  const [output, [code]] = await Promise.all([text(maelstrom.stdout), exited])
  const [ok, fail, info] = ['ok', 'fail', 'info'].map((kind) => countOf(kind, output))
  const clean = code === 0 && fail === 0 && info === 0
  console.log(
    `\n${clean ? 'passed' : 'FAILED'}: ok ${ok}, fail ${fail}, info ${info}; exit code ${code}; records in ${records}`,
  )
  return clean ? 0 : 1
}

/** The first such count in its results, which is the one over all requests. */
function countOf(kind: string, output: string): number | undefined {
  const count = new RegExp(`:${kind}-count (\\d+)`).exec(output)?.[1]
  return count === undefined ? undefined : Number(count)
}
