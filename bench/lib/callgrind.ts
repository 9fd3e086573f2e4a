// Counting the instructions that the engine's own code executes. Unlike time, that hardly differs between two runs.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { end, launchUntilReady } from './children.ts'
import { apply } from './loadgen.ts'

/** Starting and stopping cost the same in both runs, so the difference is that of the messages. */
const FEW = 2_000
const MANY = 12_000

/**
 * Instructions of the program itself for a message of 64 B on one connection: one turn of the event loop, one read, one
 * write. What the kernel and the C library do is not counted.
 */
export async function instructionsPerMessage(command: readonly string[]): Promise<number> {
  const few = await instructions(command, FEW)
  const many = await instructions(command, MANY)
  return (many - few) / (MANY - FEW)
}

async function instructions(command: readonly string[], messages: number): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'echo-bench-'))
  const file = join(directory, 'callgrind')
  const tool = ['valgrind', '--quiet', '--tool=callgrind', `--callgrind-out-file=${file}`]
  const plain = ['--compress-strings=no', '--compress-pos=no']
  try {
    const { child, firstLine } = await launchUntilReady([...tool, ...plain, ...command], 30_000)
    const port = Number(/(\d+)$/.exec(firstLine)?.[1])
    const report = await apply({ mode: 'closed', connections: 1, size: 64, messages, seconds: 60 }, port)
    // The end of its input ends the program, which then writes the counts.
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.stdin.end()
    await gone
    await end(child)
    if (report === undefined) throw new Error('the load was void')
    return ownInstructions(await readFile(file, 'utf8'), command[0]!)
  } finally {
    await rm(directory, { recursive: true })
  }
}

/**
 * Adds up the cost lines ("POSITION COST") of functions in this object. The line after "calls=" is the cost of what was
 * called, which stands with the callee already.
 */
function ownInstructions(profile: string, object: string): number {
  let sum = 0
  let own = false
  let ofCallee = false
  for (const line of profile.split('\n')) {
    if (line.startsWith('ob=')) own = line.endsWith(object)
    else if (line.startsWith('calls=')) ofCallee = true
    else if (/^\d+ \d+$/.test(line)) {
      if (own && !ofCallee) sum += Number(line.split(' ')[1])
      ofCallee = false
    }
  }
  if (sum === 0) throw new Error(`callgrind counted nothing in ${object}`)
  return sum
}
