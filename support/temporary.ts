// Temporary directories that do not stay.

import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

/** A directory that is removed with all that is in it: when it is disposed of, at the latest when the process ends. */
export interface Temporary extends Disposable {
  path: string
}

const present = new Set<string>()

/** Makes a temporary directory: `using work = await temporaryDirectory()`. */
export async function temporaryDirectory(): Promise<Temporary> {
  if (present.size === 0) removeAllAtTheEnd()
  const path = await mkdtemp(join(tmpdir(), 'echo-node-'))
  present.add(path)
  return { path, [Symbol.dispose]: () => remove(path) }
}

function remove(path: string): void {
  rmSync(path, { recursive: true, force: true })
  present.delete(path)
}

let prepared = false

function removeAllAtTheEnd(): void {
  if (prepared) return
  prepared = true
  process.on('exit', () => present.forEach(remove))
  // By default these end the process without the event.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]))
  }
}
