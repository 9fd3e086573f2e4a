// A file of the system with another content, for one program.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
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

/** What to put before a command so that its resolver, with these options, gets no answer from this loopback address. */
export async function withoutAnswer(t: ExecutionContext, address: string, options: string): Promise<string[]> {
  const silent = createSocket('udp4')
  silent.bind(53, address)
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  return bound(t, '/etc/resolv.conf', `nameserver ${address}\noptions ${options}\n`)
}
