import { now } from '../api/timers.ts'
import { errorReplyFor, timedOut, type Reply } from './protocol.ts'

/** What to do for one request. */
export interface Work {
  /** Whether it may run beside other work. If not, it waits for every earlier reply, and later work waits for its own. */
  overlaps: boolean
  /** Does it, within so many milliseconds. Errors become error replies. */
  run(timeLeft: number): Reply | Promise<Reply>
}

/**
 * The last part of a request's time, in milliseconds. It begins when the process runs: if it was stopped, or its thread was
 * busy, what has come back meanwhile is heard.
 */
const LAST = 150
/** How late a request may still begin, for the same reason, in milliseconds. */
const LATEST = 100

/** Runs the work of requests concurrently, and lets the replies leave in the order of the requests. */
export class Pipeline {
  /** How many requests wait for their reply to leave. */
  pending = 0
  /** Fulfilled when every reply to the requests added so far has left. */
  drained = Promise.resolve()
  /** Fulfilled when the reply to the last request that runs alone has left. */
  #barrier = Promise.resolve()

  /**
   * Adds a request, to be done by `deadline` (on the clock of `now()`). Past it the reply is error 0, and
   * the result of the work is dropped; but work that runs alone is done all the same. A reply only waits for its turn.
   *
   * @param answer called with the reply when every earlier one has left
   */
  add(work: Work | Reply, deadline: number, answer: (reply: Reply) => void): void {
    const reply = 'type' in work ? work : this.pending === 0 ? run(work, deadline) : this.#runLater(work, deadline)
    // Most requests take no time: without this shortcut the promises would cost more than the rest.
    if (this.pending === 0 && !(reply instanceof Promise)) return answer(reply)
    this.pending++
    this.drained = this.#sendInTurn(reply, answer)
    if ('overlaps' in work && !work.overlaps) this.#barrier = this.drained
  }

  async #runLater(work: Work, deadline: number): Promise<Reply> {
    await (work.overlaps ? this.#barrier : this.drained)
    return run(work, deadline)
  }

  async #sendInTurn(reply: Reply | Promise<Reply>, answer: (reply: Reply) => void): Promise<void> {
    // Still that of the requests before.
    await this.drained
    answer(await reply)
    this.pending--
  }
}

function run(work: Work, deadline: number): Reply | Promise<Reply> {
  const timeLeft = deadline - now()
  if (timeLeft <= -LATEST && work.overlaps) return timedOut()
  const time = Math.max(timeLeft, LAST)
  try {
    const result = work.run(time)
    return result instanceof Promise ? within(time, result).catch(errorReplyFor) : result
  } catch (error) {
    return errorReplyFor(error)
  }
}

/** @param time milliseconds, at least {@link LAST} */
async function within(time: number, result: Promise<Reply>): Promise<Reply> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<Reply>((resolve) => {
    const last = (): void => void (timer = setTimeout(() => resolve(timedOut()), LAST))
    timer = setTimeout(last, time - LAST)
  })
  try {
    return await Promise.race([result, late])
  } finally {
    clearTimeout(timer)
  }
}
