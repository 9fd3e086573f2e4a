/** The longest line taken, in bytes. */
export const LINE_LIMIT = 16 * 1024 * 1024

const NEWLINE = 0x0a
const BYTE_ORDER_MARK = Buffer.from('\ufeff')
const NOTHING = Buffer.alloc(0)

/**
 * Cuts a stream of bytes into lines without their newlines. The lines that end in one chunk of the input come together.
 * The last line needs no newline. A byte order mark before the first one is skipped.
 *
 * @param limit the longest line, in bytes; longer ones are skipped without being kept in memory
 * @param onTooLong called once for each line over the limit
 */
export async function* readLines(
  input: AsyncIterable<Buffer>,
  limit: number,
  onTooLong: () => void,
): AsyncGenerator<Buffer[]> {
  // The start of a line whose newline has not been read. Copied rather than kept as a list of pieces: a line that arrives
  // byte by byte would cost one object per byte.
  let partial: Buffer = NOTHING
  // Bytes of that line read so far. Over the limit they are counted, but not kept.
  let length = 0
  let isFirst = true

  function append(piece: Buffer): void {
    const before = length
    length += piece.length
    if (length <= limit) {
      // Doubling keeps the copying linear.
      if (length > partial.length) partial = Buffer.concat([partial], Math.max(length, Math.min(2 * length, limit)))
      piece.copy(partial, before)
    } else if (before <= limit) {
      partial = NOTHING
      onTooLong()
    }
  }

  function complete(piece: Buffer, lines: Buffer[]): void {
    const isWhole = length === 0 && piece.length <= limit
    if (!isWhole) append(piece)
    const line = isWhole ? piece : partial.subarray(0, length)
    const hasMark = isFirst && line.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK)
    if (length <= limit) lines.push(hasMark ? line.subarray(BYTE_ORDER_MARK.length) : line)
    isFirst = false
    partial = NOTHING
    length = 0
  }

  for await (const chunk of input) {
    const lines: Buffer[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      complete(chunk.subarray(start, end), lines)
      start = end + 1
    }
    append(chunk.subarray(start))
    yield lines
  }
  const last: Buffer[] = []
  if (length > 0) complete(NOTHING, last)
  yield last
}
