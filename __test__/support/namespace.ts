// A file of the system with another content, for one program.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { ExecutionContext } from 'ava'

const SCRIPT = 'mount --bind "$0" "$1" && shift && exec "$@"'

/** What to put before a command so that it sees this content in a file. */
export async function bound(t: ExecutionContext, path: string, content: string): Promise<string[]> {
  const folder = await mkdtemp(join(tmpdir(), 'echo-node-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'file'), content)
  return ['unshare', '--map-root-user', '--mount', 'sh', '-c', SCRIPT, join(folder, 'file'), path]
}
