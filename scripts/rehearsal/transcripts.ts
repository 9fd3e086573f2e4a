import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

import { at } from '../../support/paths.ts'
import { freePort } from '../../support/ports.ts'

const DIRECTORY = at('__test__/transcripts')
const PORT_IN_FILES = '8080'

/** The transcripts there are. */
export const TRANSCRIPTS = ['echo', 'start', 'stats'] as const

/** The lines of a transcript and their replies, on a free port: theirs may be in use. */
export async function transcript(name: (typeof TRANSCRIPTS)[number]): Promise<{ input: string; expected: string }> {
  const port = String(await freePort())
  const read = async (extension: string): Promise<string> => {
    const text = await readFile(join(DIRECTORY, `${name}.${extension}`), 'utf8')
    return text.replaceAll(PORT_IN_FILES, port)
  }
  return { input: await read('jsonl'), expected: await read('expected') }
}
