// The Maelstrom node: requests per second, round trips, and the time that a process of it takes.

import { readFileSync } from 'node:fs'

import { Child, type Command } from '../../support/children.ts'
import { at, EXECUTABLE } from '../../support/paths.ts'
import { attempt } from '../../support/run.ts'
import { askNode, type Questions, type Report } from '../lib/loadgen.ts'
import { interleave } from '../lib/measure.ts'
import { effort } from '../lib/options.ts'
import { atLeast, atMost, compared, type Limit, type Step } from '../lib/outcome.ts'
import { onServerCore } from '../lib/servers.ts'

const NODE = [process.execPath, EXECUTABLE]
const NOTHING = [process.execPath, '-e', '0']
const NODES = [NODE, [process.execPath, at('bench/dist/peers/maelstrom-net.js')]].map(onServerCore)

/** Requests on any free port. */
const TRANSCRIPT = readFileSync(at('__test__/transcripts/stats.jsonl'), 'utf8').replace('8080', '0')
const INIT = TRANSCRIPT.slice(0, TRANSCRIPT.indexOf('\n') + 1)

/** What the figures are called, what they are compared with, and how they must compare. */
type Line = [what: string, against: string, unit: string, limit: Limit]

/** A step that takes a figure of both sides in turn. */
function step<S>(line: Line, sides: S[], measure: (side: S) => Promise<number | undefined>, rounds: number): Step {
  const [what, against, unit, limit] = line
  return {
    name: `${what}, against ${against}`,
    needs: [],
    async run() {
      const { samples, voided } = await interleave(sides, rounds, measure)
      return { outcomes: [{ what, against, limit, voided, ...compared(samples, ['echo-node', against], unit) }] }
    },
  }
}

/** Asks this package's node and the same node on node:net the same. */
function asking(what: string, questions: Questions, unit: '/s' | 'us', limit: Limit): Step {
  const of = ({ per_second, latency }: Report): number => (unit === '/s' ? per_second : latency.p50)
  const measure = async (command: Command): Promise<number | undefined> => {
    const report = await askNode(questions, command, effort.seconds)
    return report && of(report)
  }
  return step([what, 'same node on node:net', unit, limit], NODES, measure, effort.rounds)
}

/** Compares the time that a process of the node takes with that of one that does nothing. */
function starting(what: string, limit: Limit, ours: () => Promise<number | undefined>): Step {
  const sides = [ours, () => untilExit(NOTHING, '')]
  // Starting one is quick, so it can be done often.
  return step([what, 'node -e 0', 'ms', limit], sides, (measure) => measure(), 2 * effort.rounds)
}

async function untilInitOk(): Promise<number | undefined> {
  const begin = performance.now()
  const node = new Child(NODE)
  node.process.stdin.write(INIT)
  const line = await node.line()
  const elapsed = performance.now() - begin
  await node.kill()
  return line.includes('init_ok') ? elapsed : undefined
}

async function untilExit(command: Command, input: string): Promise<number | undefined> {
  const begin = performance.now()
  const { code } = await attempt(command, { input })
  return code === 0 ? performance.now() - begin : undefined
}

export const nodeRows: Step[] = [
  asking('tcp_echo_send per second, pipelined', { request: 'send', window: 128 }, '/s', atLeast(2)),
  asking('tcp_echo_send per second, 30 at a time', { request: 'send', window: 30 }, '/s', atLeast(1.7)),
  asking('p50 of tcp_echo_send, one at a time', { request: 'send', window: 1 }, 'us', atMost(0.75)),
  asking('tcp_echo_stats per second, pipelined', { request: 'stats', window: 128 }, '/s', atLeast(0.95)),
  starting('spawn to init_ok', atMost(1.25), untilInitOk),
  starting('spawn, transcript, exit', atMost(1.12), () => untilExit(NODE, TRANSCRIPT)),
]
