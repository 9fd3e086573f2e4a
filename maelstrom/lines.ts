/** The longest line taken, in bytes. */
export const LINE_LIMIT = 16 * 1024 * 1024

const NEWLINE = 0x0a
const BYTE_ORDER_MARK = Buffer.from('\ufeff')
const NOTHING = Buffer.alloc(0)

/** Cuts a stream of bytes into lines without their newlines. A byte order mark before the first one is skipped. */
export class LineSplitter {
  readonly #limit: number
  readonly #onTooLong: () => void
  /**
   * The start of a line whose newline has not come. Copied rather than kept as a list of pieces: a line that arrives
   * byte by byte would cost one object per byte.
   */
  #partial: Buffer = NOTHING
  /** Bytes of that line so far. Over the limit they are counted, but not kept. */
  #length = 0
  #isFirst = true

  /**
   * @param limit the longest line, in bytes; longer ones are skipped without being kept in memory
   * @param onTooLong called once for each line over the limit
   */
  constructor(limit: number, onTooLong: () => void) {
    this.#limit = limit
    this.#onTooLong = onTooLong
  }

  /** Takes the next bytes of the stream. Returns the lines that end in them. */
  push(chunk: Buffer): Buffer[] {
    const lines: Buffer[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#complete(chunk.subarray(start, end), lines)
      start = end + 1
    }
    this.#append(chunk.subarray(start))
    return lines
  }

  /** Ends the stream. Returns the last line, if the stream does not end with a newline. */
  end(): Buffer[] {
    const lines: Buffer[] = []
    if (this.#length > 0) this.#complete(NOTHING, lines)
    return lines
  }

  #append(piece: Buffer): void {
    const before = this.#length
    const length = (this.#length += piece.length)
    if (length <= this.#limit) {
      // Doubling keeps the copying linear.
      const room = Math.max(length, Math.min(2 * length, this.#limit))
      if (length > this.#partial.length) this.#partial = Buffer.concat([this.#partial], room)
      piece.copy(this.#partial, before)
    } else if (before <= this.#limit) {
      this.#partial = NOTHING
      this.#onTooLong()
    }
  }

  #complete(piece: Buffer, lines: Buffer[]): void {
    const isWhole = this.#length === 0 && piece.length <= this.#limit
    if (!isWhole) this.#append(piece)
    const line = isWhole ? piece : this.#partial.subarray(0, this.#length)
    const hasMark = this.#isFirst && line.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    if (this.#length <= this.#limit) lines.push(hasMark ? line.subarray(BYTE_ORDER_MARK.length) : line)
    this.#isFirst = false
    this.#partial = NOTHING
    this.#length = 0
  }
}
