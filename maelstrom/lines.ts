/** The longest line taken, in bytes: 16 MiB hold a 5 MiB payload even if every byte of it comes as an escape. */
export const LINE_LIMIT = 16 * 1024 * 1024

const NEWLINE = 0x0a
const FIRST_CAPACITY = 64 * 1024
const NOTHING = Buffer.alloc(0)

/**
 * Cuts a stream of buffers into lines, however the bytes were spread over the buffers.
 *
 * Pulled rather than pushed, so that the caller can leave the rest of a buffer for later. A line that exceeds the limit
 * is given up as soon as it does: what was held of it is freed, and its rest is skipped up to the newline.
 */
export class Lines {
  readonly #limit: number
  readonly #tooLong: () => void
  #chunk: Buffer = NOTHING
  #at = 0
  /** The beginning of a line whose newline has not come yet, in the first `#held` bytes. */
  #partial: Buffer = NOTHING
  #held = 0
  #skipping = false

  /**
   * @param limit the longest line, in bytes without its newline
   * @param tooLong told once for every line that exceeds it
   */
  constructor(limit: number, tooLong: () => void) {
    this.#limit = limit
    this.#tooLong = tooLong
  }

  /** Hands over the next buffer. The one before has to be used up: `next` has returned undefined. */
  push(chunk: Buffer): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** The next whole line, without its newline; undefined if more input is needed. */
  next(): Buffer | undefined {
    while (this.#at < this.#chunk.length) {
      const newline = this.#chunk.indexOf(NEWLINE, this.#at)
      const piece = this.#chunk.subarray(this.#at, newline < 0 ? undefined : newline)
      this.#at += piece.length + 1
      if (newline < 0) {
        this.#hold(piece)
        break
      }
      const line = this.#complete(piece)
      if (line !== undefined) return line
    }
    this.#chunk = NOTHING
    return undefined
  }

  /** What stands after the last newline, once the input has ended; undefined if nothing does. */
  rest(): Buffer | undefined {
    return this.#held === 0 ? undefined : this.#complete(NOTHING)
  }

  /** Forgets all that has not been handed out. */
  clear(): void {
    this.#chunk = NOTHING
    this.#release()
  }

  #complete(piece: Buffer): Buffer | undefined {
    if (this.#held > 0 || this.#skipping || piece.length > this.#limit) this.#hold(piece)
    else return piece
    const line = this.#skipping ? undefined : this.#partial.subarray(0, this.#held)
    this.#release()
    this.#skipping = false
    return line
  }

  #hold(piece: Buffer): void {
    if (this.#skipping) return
    const length = this.#held + piece.length
    if (length > this.#limit) {
      this.#release()
      this.#skipping = true
      this.#tooLong()
      return
    }
    // Copied, not kept in a list: a line that comes byte by byte would cost a buffer object a byte.
    if (length > this.#partial.length) this.#grow(length)
    piece.copy(this.#partial, this.#held)
    this.#held = length
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafe(Math.max(length, FIRST_CAPACITY, Math.min(2 * this.#partial.length, this.#limit)))
    this.#partial.copy(larger, 0, 0, this.#held)
    this.#partial = larger
  }

  #release(): void {
    this.#partial = NOTHING
    this.#held = 0
  }
}
