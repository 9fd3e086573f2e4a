// npm run maelstrom: runs Maelstrom's echo workload against the node, and sums it up in one line. Arguments after -- go
// to `maelstrom test`, and take precedence: npm run maelstrom -- --node-count 5 --time-limit 60

import { mkdtemp, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { execa } from 'execa'

import { mortal } from '../support/children.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { locate } from '../support/programs.ts'

const DEFAULTS = {
  '--node-count': '3',
  '--concurrency': '2n',
  '--rate': '500',
  '--time-limit': '10',
  // Without it a node that hangs passes: an unanswered request is then no failure.
  '--availability': 'total',
}

const MAELSTROM = process.env['MAELSTROM'] ?? 'maelstrom'
// npm runs this in the root of the package, wherever the user is.
const program = locate(MAELSTROM, process.env['INIT_CWD'])
if (program === undefined) {
  console.error(`${MAELSTROM} was not found. Maelstrom is a Java program: install a JDK, download a release from
https://github.com/jepsen-io/maelstrom/releases, and put its folder into PATH, or the path of its script into MAELSTROM.`)
  process.exitCode = 1
} else {
  process.exitCode = (await test(program)) ? 0 : 1
}

/** Runs Maelstrom, passes on what it prints, and sums it up. Returns whether the node has passed. */
async function test(maelstrom: string): Promise<boolean> {
  const given = process.argv.slice(2)
  const defaults = Object.entries(DEFAULTS).filter(([option]) => !given.includes(option))
  const command = [maelstrom, 'test', '-w', 'echo', '--bin', EXECUTABLE, ...defaults.flat(), ...given]
  // It writes its records into the folder it runs in.
  const records = await mkdtemp(join(tmpdir(), 'echo-node-maelstrom-'))
  const options = { cwd: records, stdio: ['ignore', ['pipe', 'inherit'], 'inherit'], reject: false } as const
  const { stdout, exitCode, signal } = await execa(...mortal(command), options)
  const end = signal === undefined ? `exit code ${exitCode}` : `killed by ${signal}`
  const counts = readCounts(stdout)
  const passed = exitCode === 0 && counts !== undefined && counts.fail === 0 && counts.info === 0
  const result =
    counts === undefined
      ? 'Maelstrom gave no results'
      : Object.entries(counts)
          .map(([kind, count]) => `${kind} ${count}`)
          .join(', ')
  const empty = await rmdir(records).then(
    () => true,
    () => false,
  )
  console.log(`\n${passed ? 'passed' : 'FAILED'}: ${result}; ${end}; ${empty ? 'no records' : `records in ${records}`}`)
  return passed
}

/** How many requests ended how, over all of them. Undefined if the output has no results. */
function readCounts(output: string): { ok: number; fail: number; info: number } | undefined {
  const [ok, fail, info] = ['ok', 'fail', 'info'].map((kind) => new RegExp(`:${kind}-count (\\d+)`).exec(output)?.[1])
  if (ok === undefined || fail === undefined || info === undefined) return undefined
  return { ok: Number(ok), fail: Number(fail), info: Number(info) }
}
