// The Maelstrom node: requests a second, and how soon it is there.
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { end, finish, launch, onCore } from '../lib/children.ts'
import { interleave } from '../lib/interleave.ts'
import { askNode } from '../lib/loadgen.ts'
import { SERVER_CORE } from '../lib/machine.ts'
import { atLeast, atMost, ratios, type Limit } from '../lib/outcome.ts'
import { DIST, at } from '../lib/paths.ts'
import type { Effort, Missing, Step } from '../lib/step.ts'

/** A node, or whatever else it is compared with. */
interface Program {
  name: string
  command: string[]
}

const OURS: Program = { name: 'echo-node', command: [process.execPath, at('dist/bin/echo-node.js')] }
const ON_NET: Program = { name: 'same node on node:net', command: [process.execPath, `${DIST}/peers/maelstrom-net.js`] }
const GO_DEMO: Program = { name: "Maelstrom's Go demo", command: [`${DIST}/maelstrom-echo`] }
const NOTHING: Program = { name: 'node -e 0', command: [process.execPath, '-e', '0'] }

/** Starting a process is quick, so it can be done often. */
const STARTS = 20

/** Requests a second, and the time to the first reply. */
export function nodeRows(effort: Effort, missing: Missing): Step[] {
  return [
    rate('tcp_echo_send', ON_NET, ['send', 'send'], atLeast(2), effort),
    rate('tcp_echo_stats', GO_DEMO, ['stats', 'echo'], atLeast(1), effort, missing.get('maelstrom-echo')),
    spawning(effort),
  ]
}

/** Requests a second of both; the second may be asked something else. */
function rate(
  what: string,
  theirs: Program,
  requests: ['send' | 'stats', 'send' | 'echo'],
  limit: Limit,
  { rounds, seconds }: Effort,
  skipped?: string,
): Step {
  const line = { what: `${what} a second, pipelined`, against: theirs.name, unit: 'ratio', limit }
  return {
    name: `${line.what}, against ${theirs.name}`,
    seconds: skipped === undefined ? 2 * rounds * (seconds + 0.3) : 0,
    async run() {
      if (skipped !== undefined) return { outcomes: [{ ...line, skipped }] }
      const sides = [OURS, theirs].map(({ command }, side) => ({ command, request: requests[side]! }))
      const { samples, voided } = await interleave(sides, rounds, async ({ command, request }) => {
        const report = await askNode(request, seconds, onCore(SERVER_CORE, command))
        return report?.per_second
      })
      return { outcomes: [{ ...line, voided, ...ratios(samples, [OURS.name, theirs.name], '/s') }] }
    },
  }
}

function spawning({ quick }: Effort): Step {
  const rounds = quick ? STARTS / 2 : STARTS
  const line = { what: 'spawn to init_ok', against: NOTHING.name, unit: 'ratio', limit: atMost(1.25) }
  return {
    name: line.what,
    seconds: rounds * 0.2,
    async run() {
      const { samples, voided } = await interleave([untilInitOk, untilExit], rounds, (measure) => measure())
      return { outcomes: [{ ...line, voided, ...ratios(samples, [OURS.name, NOTHING.name], 'ms') }] }
    },
  }
}

/** Milliseconds. */
async function untilInitOk(): Promise<number | undefined> {
  const begin = performance.now()
  const child = launch(OURS.command)
  child.stdin.write('{"src":"c0","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1"]}}\n')
  const [line] = await Promise.race([once(createInterface(child.stdout), 'line'), once(child, 'exit')])
  const elapsed = performance.now() - begin
  await end(child)
  return String(line).includes('init_ok') ? elapsed : undefined
}

/** Milliseconds. */
async function untilExit(): Promise<number | undefined> {
  const begin = performance.now()
  const { code } = await finish(NOTHING.command, 10_000)
  return code === 0 ? performance.now() - begin : undefined
}
