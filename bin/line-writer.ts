import { giveUpUnread, onReaderGone, print } from './process.ts'

/** How much waits for somebody to read stdout, in characters. */
const MOST_UNREAD = 8 * 1024 * 1024

/** Writes lines to stdout, as far as somebody reads them: the others are counted. */
export class LineWriter {
  readonly #summary: (leftOut: number) => string
  readonly #frame: (lines: string) => string
  /** What waits until the write under way is over: each write costs much more memory than its text. */
  #lines = ''
  #isWriting = false
  #leftOut = 0
  #isReaderGone = false

  /** With what to write where lines were left out, and what to put around lines. */
  constructor(summary: (leftOut: number) => string, frame = (lines: string): string => lines) {
    this.#summary = summary
    this.#frame = frame
    giveUpUnread()
    // Each write to a broken stream makes an error, which takes longer than an event.
    onReaderGone(() => (this.#isReaderGone = true))
  }

  /** Writes a line, or counts it. */
  write(line: string): void {
    if (this.#isReaderGone) return
    if (this.#lines.length > MOST_UNREAD) this.#leftOut++
    else this.#lines += `${line}\n`
    if (!this.#isWriting) this.flush()
  }

  /** Writes what has waited, and says how many lines were left out. */
  flush(): void {
    if (this.#leftOut > 0) this.#lines += `${this.#summary(this.#leftOut)}\n`
    const lines = this.#lines
    this.#lines = ''
    this.#leftOut = 0
    this.#isWriting = lines !== ''
    if (this.#isWriting) print(this.#frame(lines), () => this.flush())
  }
}
