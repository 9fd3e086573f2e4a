// A copy of what is built, as npm would lay it out, to be damaged.

import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

import type { ExecutionContext } from 'ava'

import { ROOT } from '../../support/paths.ts'
import { temporaryDirectory } from '../../support/temporary.ts'
import { INIT, request } from './command.ts'

const DEADLINE = 60_000

/** Changes the binary, or takes it away. */
export type Damage = (binary: Buffer) => Buffer | undefined

/** An installation of the package. */
export class Installation {
  readonly directory: string
  /** Where the binary is, or should be. */
  readonly binary: string

  private constructor(directory: string, binary: string) {
    this.directory = directory
    this.binary = binary
  }

  /** Makes one that is gone after the test. */
  static async make(t: ExecutionContext, damage: Damage): Promise<Installation> {
    const temporary = await temporaryDirectory()
    t.teardown(() => temporary[Symbol.dispose]())
    const directory = temporary.path
    for (const part of ['package.json', 'dist', 'binding/index.cjs']) {
      await cp(join(ROOT, part), join(directory, part), { recursive: true })
    }
    const built = (await readdir(join(ROOT, 'binding'))).find((name) => name.endsWith('.node'))!
    const binary = damage(await readFile(join(ROOT, 'binding', built)))
    const installation = new Installation(directory, join(directory, 'binding', built))
    if (binary) await writeFile(installation.binary, binary)
    return installation
  }

  /** Runs the command; without arguments on a request that needs the engine. */
  command(args: string[], preload = ''): Pick<SpawnSyncReturns<string>, 'status' | 'stdout' | 'stderr'> {
    const options = preload ? ['--import', `data:text/javascript,${encodeURIComponent(preload)}`] : []
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [...options, join(this.directory, 'dist/bin/echo-node.js'), ...args],
      { input: `${INIT}\n${request('tcp_echo_start', 1, { port: 0 })}\n`, encoding: 'utf8', timeout: DEADLINE },
    )
    return { status, stdout, stderr }
  }

  /** What importing the API throws: its code and message. */
  importError(): string {
    const script = `import(${JSON.stringify(join(this.directory, 'dist/index.js'))}).then(
      () => console.log('imported'),
      ({ code, message }) => console.log(code, message),
    )`
    return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: DEADLINE }).stdout.trim()
  }
}
