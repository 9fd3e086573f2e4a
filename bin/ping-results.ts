import { createHistogram } from 'node:perf_hooks'

import { formatDuration } from './format.ts'
import { LineWriter } from './line-writer.ts'
import type { Loss, Round, Target } from './round.ts'

const NANOSECONDS = 1e6

/** Prints the rounds of a ping as they come, and at the end a summary. */
export class PingResults {
  readonly #target: string
  readonly #size: number
  readonly #asJson: boolean
  readonly #writer: LineWriter
  /** Of the rounds that were echoed, in nanoseconds. */
  readonly #times = createHistogram({ figures: 4 })
  #min = Infinity
  #max = 0
  #sent = 0

  /** Prints a heading. */
  constructor({ host, port }: Target, size: number, asJson: boolean) {
    this.#target = `${host}:${port}`
    this.#size = size
    this.#asJson = asJson
    this.#writer = new LineWriter((lines) =>
      asJson ? JSON.stringify({ event: 'omitted', lines }) : `${lines} more lines, left out because nobody read them`,
    )
    if (!asJson) this.#writer.write(`PING ${this.#target}, ${size} bytes`)
  }

  /** Prints a round. */
  add(seq: number, round: Round): void {
    this.#sent++
    if (!round.loss) this.#note(round.duration)
    this.#writer.write(this.#asJson ? toJson(seq, this.#size, round) : this.#asText(seq, round))
  }

  /** Prints the summary. True if every round was echoed, and there was one. */
  end(): boolean {
    const { count: echoed } = this.#times
    const [sent, lost] = [this.#sent, this.#sent - echoed]
    const times = echoed > 0 ? this.#quantiles() : {}
    if (this.#asJson) {
      this.#writer.write(JSON.stringify({ event: 'summary', sent, echoed, lost, ...times }))
    } else {
      this.#writer.write(`\n--- ${this.#target} ---\n${sent} sent, ${echoed} echoed, ${lost} lost`)
      const shown = Object.entries(times).map(([name, time]) => `${name} ${formatDuration(time)}`)
      if (echoed > 0) this.#writer.write(shown.join(', '))
    }
    this.#writer.flush()
    return echoed > 0 && lost === 0
  }

  #note(duration: number): void {
    this.#times.record(Math.max(1, Math.round(duration * NANOSECONDS)))
    this.#min = Math.min(this.#min, duration)
    this.#max = Math.max(this.#max, duration)
  }

  #quantiles(): Record<string, number> {
    // The histogram knows a time by four figures.
    const percentile = (percent: number): number =>
      rounded(Math.min(this.#max, Math.max(this.#min, this.#times.percentile(percent) / NANOSECONDS)))
    return { min: rounded(this.#min), median: percentile(50), p99: percentile(99), max: rounded(this.#max) }
  }

  #asText(seq: number, { remoteAddress, duration, received, loss }: Round): string {
    const port = this.#target.slice(this.#target.lastIndexOf(':'))
    const from = remoteAddress === undefined ? this.#target : remoteAddress + port
    if (!loss) return `${received} bytes from ${from}: seq=${seq} time=${formatDuration(duration)}`
    const came = received > this.#size ? `${received} bytes for ${this.#size}` : `${received} of ${this.#size} bytes`
    return `${from}: seq=${seq} ${loss.word} ${describe(loss, formatDuration(duration), came)}`
  }
}

function describe({ word, syscall, message, offset }: Loss, time: string, came: string): string {
  if (word === 'MISMATCH') return `at byte ${offset}, ${came} came back in ${time}`
  if (word === 'DNS' || word === 'OTHER') return `after ${time}: ${message}`
  return `in ${syscall} after ${time}, ${came} came back`
}

function toJson(seq: number, size: number, { remoteAddress, duration, received, loss }: Round): string {
  const figures = { seq, remoteAddress, size, bytes: received, duration: rounded(duration) }
  return JSON.stringify(loss ? { event: 'loss', ...figures, ...loss } : { event: 'echo', ...figures })
}

function rounded(time: number): number {
  return Math.round(time * 1000) / 1000
}
