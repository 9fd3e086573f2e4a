import { ErrorCode, failure, PATIENCE, timedOut, type Reply } from './protocol.ts'

/** Time, so that tests need not wait for it. */
export interface Clock {
  /** Milliseconds since some fixed moment; never goes back. */
  now(): number
  /** Calls back once, after at least so many milliseconds. Returns what cancels that. */
  after(milliseconds: number, callback: () => void): () => void
}

/** The machine's time. */
export const machineClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds)
    return () => clearTimeout(timer)
  },
}

/** What is to be done for one request. */
export interface Work {
  /**
   * Whether it may run while earlier ones run and later ones do. If not, it starts when every earlier request is
   * answered, and later ones start when it is.
   */
  overlaps: boolean
  /** Does it. What it throws, or rejects with, is answered with code 13. */
  run(timeLeft: number): Reply | Promise<Reply>
}

/** A request in the line: `T` is whatever the owner needs to send its reply. */
interface Turn<T> {
  owner: T
  work: Work
  size: number
  deadline: number
  reply: Reply | undefined
}

/**
 * Puts requests to work in the order they came, and lets the replies go in that order, each before its deadline.
 *
 * A request that is not done by its deadline is answered with code 0; what comes of it later is dropped.
 */
export class Turns<T> {
  /** Those not answered yet, oldest first. Those that have started are the first `#started` of them. */
  readonly #line: Turn<T>[] = []
  #started = 0
  #size = 0
  readonly #clock: Clock
  readonly #answer: (owner: T, reply: Reply) => void
  /** Set while the one timer runs, which is always that of the oldest request. */
  #cancelTimer: (() => void) | undefined

  /** @param answer called with each reply in its turn */
  constructor(clock: Clock, answer: (owner: T, reply: Reply) => void) {
    this.#clock = clock
    this.#answer = answer
  }

  /** Requests not answered yet. */
  get count(): number {
    return this.#line.length
  }

  /** Their sizes together. */
  get size(): number {
    return this.#size
  }

  /** Puts a request at the end of the line. `size` is what it counts for in `size`; it arrived at `arrival`. */
  add(owner: T, work: Work, size: number, arrival: number): void {
    this.#line.push({ owner, work, size, deadline: arrival + PATIENCE, reply: undefined })
    this.#size += size
    this.#proceed()
  }

  #proceed(): void {
    for (;;) {
      this.#answerFinished()
      const next = this.#line[this.#started]
      if (next === undefined || !this.#mayStart(next)) break
      this.#started++
      this.#start(next)
    }
    this.#watchOldest()
  }

  #answerFinished(): void {
    let oldest = this.#line[0]
    while (oldest?.reply !== undefined) {
      this.#line.shift()
      this.#started--
      this.#size -= oldest.size
      this.#answer(oldest.owner, oldest.reply)
      oldest = this.#line[0]
    }
  }

  #mayStart(next: Turn<T>): boolean {
    if (this.#started === 0) return true
    return next.work.overlaps && this.#line[0]!.work.overlaps
  }

  #start(turn: Turn<T>): void {
    const timeLeft = turn.deadline - this.#clock.now()
    // What runs alone had to wait for others: it is let go even if nothing is left, as it may answer at once.
    if (timeLeft <= 0 && turn.work.overlaps) {
      turn.reply = timedOut()
      return
    }
    try {
      const result = turn.work.run(timeLeft)
      if (result instanceof Promise) this.#awaitReply(turn, result)
      else turn.reply = result
    } catch (error) {
      turn.reply = crash(error)
    }
  }

  #awaitReply(turn: Turn<T>, result: Promise<Reply>): void {
    const settle = (reply: Reply): void => {
      if (turn.reply !== undefined) return
      turn.reply = reply
      this.#proceed()
    }
    result.then(settle, (error: unknown) => settle(crash(error)))
  }

  #watchOldest(): void {
    const oldest = this.#line[0]
    if (oldest === undefined || this.#cancelTimer !== undefined) return
    // Left running when its request is answered: a timer a request would cost more than one early look.
    this.#cancelTimer = this.#clock.after(Math.max(0, oldest.deadline - this.#clock.now()), () => this.#expire())
  }

  #expire(): void {
    this.#cancelTimer = undefined
    const now = this.#clock.now()
    for (const turn of this.#line.slice(0, this.#started)) {
      if (turn.deadline > now) break
      turn.reply ??= timedOut()
    }
    this.#proceed()
  }

  /** Forgets whatever is waiting, and stops the timer. */
  close(): void {
    this.#line.length = 0
    this.#started = 0
    this.#size = 0
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
  }
}

function crash(error: unknown): Reply {
  return failure(ErrorCode.crash, error instanceof Error ? error.message : String(error))
}
