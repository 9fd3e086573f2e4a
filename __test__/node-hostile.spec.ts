// Many hostile lines, and lines meant to fill the memory.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

import test from 'ava'
import { array, assert, asyncProperty } from 'fast-check'

import { EchoServer } from 'echo-node'
import { Handlers } from '../maelstrom/handlers.ts'
import type { Request } from '../maelstrom/protocol.ts'
import { killAll } from '../support/children.ts'
import { peakBytes } from '../support/proc.ts'
import { INIT, request, start } from './support/command.ts'
import { hostileLines, numbered, type Hostile } from './support/hostile-lines.ts'
import { size } from './support/size.ts'

const RUNS = size(20, 100)
const LINES = 1000
const MIB = 1024 * 1024
/** What a client waits for a reply. */
const PATIENCE = 5000

test.after.always(killAll)

interface Reply {
  body: { type: string; in_reply_to: number; msg_id: number; code?: number }
}

/** One node for all lines, as long as it lives. */
class Victim {
  readonly child = start()
  #requests = 1
  #replies = 0

  constructor() {
    this.child.process.stdin.write(`${INIT}\n${request('tcp_echo_start', 1, { port: 0 })}\n`)
  }

  /** Sends these lines, and returns which replies came instead of those that had to, if any did. */
  async attack(lines: Hostile[]): Promise<string | undefined> {
    const wanted: string[] = this.#requests === 1 ? ['0 init_ok', '1 tcp_echo_start_ok'] : []
    const buffers = lines.map((line) => {
      const msgId = ++this.#requests
      if (line.expected !== undefined) wanted.push(`${msgId} ${line.expected}`)
      return numbered(line, msgId)
    })
    const last = ++this.#requests
    wanted.push(`${last} tcp_echo_stats_ok`)
    const input = [...buffers, Buffer.from(request('tcp_echo_stats', last))]
    this.child.process.stdin.write(Buffer.concat(input.flatMap((line) => [line, Buffer.from('\n')])))
    return this.#compare(wanted)
  }

  async #compare(wanted: string[]): Promise<string | undefined> {
    for (const expected of wanted) {
      const { body } = await this.child.json<Reply>(PATIENCE)
      const got = `${body.in_reply_to} ${body.type === 'error' ? `error ${body.code}` : body.type}`
      if (got !== expected) return `expected ${expected}, got ${got}`
      if (body.msg_id !== this.#replies++) return `reply ${this.#replies - 1} has msg_id ${body.msg_id}`
    }
    return undefined
  }

  /** The most memory it ever had, in MiB. */
  get peak(): number {
    return peakBytes(this.child.pid) / MIB
  }
}

test.serial(`of ${RUNS * LINES} hostile lines each that can be answered is, once, in order and in time`, async (t) => {
  t.timeout(300_000)
  let victim = new Victim()
  const property = asyncProperty(array(hostileLines, { minLength: LINES, maxLength: LINES }), async (lines) => {
    try {
      const mistake = await victim.attack(lines)
      if (mistake !== undefined) throw new Error(mistake)
    } catch (error) {
      // Whatever it is, it is to be found again with a node that has seen nothing else.
      await victim.child.kill()
      victim = new Victim()
      throw error
    }
  })
  await assert(property, { numRuns: RUNS })
  t.true(victim.peak < 300, `it took ${victim.peak} MiB`)
  victim.child.process.stdin.end()
  t.is(await victim.child.end(), 0)
})

const echo = (msgId: number, json: string): string => {
  return `{"src":"c1","dest":"n1","body":{"type":"echo","msg_id":${msgId},"echo":${json}}}`
}

const many = (count: number, item: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => item(index)).join(',')

/** Each is as large as it may be, or larger; and whether it says whom to answer before it is too large. */
const MONSTERS: [name: string, line: string, answered: boolean][] = [
  ['brackets', echo(2, '['.repeat(15 * MIB)), true],
  ['empty objects', echo(2, `[${many(5 * MIB, () => '{}')}]`), true],
  ['as many objects as may be', echo(2, `[${many(249_900, () => '{}')}]`), true],
  ['as many keys as may be', echo(2, `{${many(249_900, (index) => `"k${index}":1`)}}`), true],
  ['short numbers', echo(2, `[${many(7 * MIB, () => '1')}]`), true],
  ['short strings', echo(2, `[${many(3 * MIB, () => String.raw`"\n"`)}]`), true],
  ['escapes', echo(2, `"${String.raw`\u0001`.repeat(2 * MIB)}"`), true],
  ['more than a line may have', echo(2, `"${'x'.repeat(100 * MIB)}"`), false],
]

for (const [name, line, answered] of MONSTERS) {
  test.serial(`a line full of ${name} costs no more memory than it must`, async (t) => {
    const victim = new Victim()
    for (let count = 0; count < 2; count++) await victim.child.line()
    for (let count = 0; count < 3; count++) {
      victim.child.process.stdin.write(`${line}\n`)
      if (answered) t.is((await victim.child.json<Reply>(PATIENCE)).body.in_reply_to, 2)
    }
    t.is((await victim.child.ask<Reply>(request('tcp_echo_stats', 3))).body.type, 'tcp_echo_stats_ok')
    t.log(`${Math.round(victim.peak)} MiB`)
    t.true(victim.peak < 500, `it took ${victim.peak} MiB`)
    await victim.child.kill()
  })
}

/** A request, and a reference to a part of it that no handler needs. */
function parsed(type: string): [Request, WeakRef<object>] {
  const unused = {}
  const body = { port: 0, data: 'hello', echo: 'hello', unused }
  return [{ type, body, line: Buffer.from(JSON.stringify({ body })), envelope: undefined }, new WeakRef(unused)]
}

test('a request that waits keeps what it needs, and not all that was parsed', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const handlers = new Handlers(new EchoServer(), new EchoServer())
  const waiting = ['tcp_echo_start', 'tcp_echo_send', 'tcp_echo_stats', 'echo'].map((type) => {
    const [message, unused] = parsed(type)
    return { type, work: handlers.workFor(message), unused }
  })
  // A reference that was made in this turn keeps its object until the next one.
  await new Promise((resolve) => {
    setImmediate(resolve)
  })
  collectGarbage()
  for (const { type, work, unused } of waiting) {
    t.is(unused.deref(), undefined, type)
    t.truthy(work, `${type} still waits`)
  }
})
