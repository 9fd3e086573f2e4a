// The pipeline against a plain model of its order, with random plans.

import { setImmediate as turn } from 'node:timers/promises'

import test from 'ava'
import { array, assert, asyncProperty, boolean, integer, record } from 'fast-check'

import { now } from '../api/timers.ts'
import { Pipeline } from '../maelstrom/pipeline.ts'
import { errorReplyFor } from '../maelstrom/protocol.ts'
import { deferred } from '../support/wait.ts'

const FOREVER = 60_000

interface Plan {
  overlaps: boolean
  /** Whether it has its reply at once, without a promise. */
  atOnce: boolean
}

/** What must have started and been answered, given which requests have finished their work. */
function expected(plans: Plan[], finished: Set<number>): { started: number[]; answered: number[] } {
  const started: number[] = []
  const answered: number[] = []
  plans.forEach(({ overlaps, atOnce }, index) => {
    const earlierAlone = plans.findLastIndex((plan, other) => other < index && !plan.overlaps)
    const starts = answered.length === index || (overlaps && answered.length > earlierAlone)
    if (!starts) return
    started.push(index)
    if (answered.length === index && (atOnce || finished.has(index))) answered.push(index)
  })
  return { started, answered }
}

test('requests start and are answered in the order of a plain model', async (t) => {
  const plan = record({ overlaps: boolean(), atOnce: boolean() })
  const plans = array(plan, { minLength: 1, maxLength: 12 })
  const same = asyncProperty(plans, array(integer({ min: 0, max: 11 })), async (requests, order) => {
    const pipeline = new Pipeline()
    const gates = requests.map(() => deferred())
    const started: number[] = []
    const answered: number[] = []
    requests.forEach(({ overlaps, atOnce }, index) => {
      const reply = { type: `reply ${index}` }
      const run = () => {
        started.push(index)
        return atOnce ? reply : gates[index]!.promise.then(() => reply)
      }
      pipeline.add({ overlaps, run }, now() + FOREVER, (got) => {
        t.is(got, reply)
        answered.push(index)
      })
    })
    const finished = new Set<number>()
    for (const index of [...order, ...requests.keys()]) {
      await turn()
      t.deepEqual({ started, answered }, expected(requests, finished))
      gates[index]?.resolve()
      finished.add(index)
    }
    await pipeline.drained
    t.deepEqual(answered, [...requests.keys()])
  })
  await assert(same, { numRuns: 500 })
})

test('work whose time ran out while it waited is not begun, except what runs alone', async (t) => {
  const pipeline = new Pipeline()
  const past = performance.now() - 1
  const log: string[] = []
  const add = (name: string, overlaps: boolean): void => {
    const run = () => {
      log.push(`${name} begun`)
      return { type: name }
    }
    pipeline.add({ overlaps, run }, past, ({ type }) => log.push(`${name} ${type}`))
  }
  add('send', true)
  add('stats', false)
  const gate = deferred()
  const run = () => gate.promise.then(() => ({ type: 'first' }))
  pipeline.add({ overlaps: true, run }, now() + FOREVER, () => log.push('first'))
  add('stats', false)
  add('send', true)
  // A reply that is there already is never late.
  pipeline.add({ type: 'done' }, past, ({ type }) => log.push(type))
  gate.resolve()
  await pipeline.drained
  const first = ['send error', 'stats begun', 'stats stats']
  t.deepEqual(log, [...first, 'first', 'stats begun', 'stats stats', 'send error', 'done'])
})

for (const overlaps of [true, false]) {
  test(`an error of work that ${overlaps ? 'overlaps' : 'runs alone'} is its reply, thrown or rejected`, async (t) => {
    const pipeline = new Pipeline()
    const error = new Error('on purpose')
    const works = [() => Promise.reject(error), () => fail(error), () => Promise.reject(error), () => fail(error)]
    const replies: unknown[] = []
    for (const run of works) {
      pipeline.add({ overlaps, run }, now() + FOREVER, (reply) => replies.push(reply))
    }
    await pipeline.drained
    t.deepEqual(
      replies,
      works.map(() => errorReplyFor(error)),
    )
  })
}

function fail(error: Error): never {
  throw error
}
