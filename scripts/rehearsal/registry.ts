import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import type { AddressInfo, Server } from 'node:net'
import { createRequire } from 'node:module'
import { join } from 'node:path'

interface Verdaccio {
  runServer(this: void, config: Record<string, unknown>): Promise<Server>
}

/** A registry that holds what is published to it and nothing else, and forwards nothing. */
export interface Registry {
  url: string
  close(): void
}

/** Starts a registry on a free port of this machine, from the tools installed in `tools`. */
export async function openRegistry(tools: string, storage: string): Promise<Registry> {
  await mkdir(storage)
  const { runServer } = createRequire(join(tools, 'package.json'))('verdaccio') as Verdaccio
  const server = await runServer({
    storage,
    self_path: storage,
    auth: { htpasswd: { file: join(storage, 'htpasswd') } },
    uplinks: {},
    packages: { '**': { access: '$all', publish: '$all' } },
    log: { type: 'stdout', format: 'pretty', level: 'fatal' },
    web: { enable: false },
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`, close: () => server.close() }
}
