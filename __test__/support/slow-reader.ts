import { once } from 'node:events'
import type { Readable } from 'node:stream'

/** Milliseconds. More often than the command looks whether anyone reads its last lines. */
const EVERY = 1000

/** Reads an output to its end as one who takes all that waits, but only now and then. */
export async function readSlowly(output: Readable): Promise<string> {
  let all = ''
  output.pause().on('data', (part: Buffer | string) => (all += part.toString()))
  // A stream that is resumed gives one part of those that it keeps, which may be a line, and meanwhile reads no other.
  const reading = setInterval(() => output.read(), EVERY)
  await once(output, 'end')
  clearInterval(reading)
  return all
}
