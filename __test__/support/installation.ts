// A copy of what is built, as npm would lay it out, to be damaged.

import { spawnSync, type SpawnSyncReturns } from 'node:child_process'
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import type { ExecutionContext } from 'ava'

import { at } from '../../support/paths.ts'
import { temporaryDirectory } from '../../support/temporary.ts'
import { INIT, request } from './command.ts'

const DEADLINE = 60_000

/** Changes the binary, or takes it away. */
export type Damage = (binary: Buffer) => Buffer | undefined

/** How the command is run, apart from its arguments. */
export interface Circumstances {
  /** Options of Node.js. */
  flags?: string[]
  /** A script that runs before. */
  preload?: string
  /** The program, with its arguments, that starts Node.js. */
  wrapper?: string[]
  env?: NodeJS.ProcessEnv
}

/** An installation of the package. */
export class Installation {
  /** The directory it is installed in. */
  readonly root: string
  /** The name of the package that has the binary. */
  readonly package: string

  private constructor(root: string, name: string) {
    this.root = root
    this.package = name
  }

  /** Makes one that is gone after the test. */
  static async make(t: ExecutionContext, damage: Damage): Promise<Installation> {
    const temporary = await temporaryDirectory()
    t.teardown(() => temporary[Symbol.dispose]())
    const built = (await readdir(at('binding'))).find((name) => name.endsWith('.node'))!
    const installation = new Installation(temporary.path, built.replace('.', '-').replace('.node', ''))
    for (const part of ['package.json', 'dist']) {
      await cp(at(part), join(installation.directory, part), { recursive: true })
    }
    const binary = damage(await readFile(at(`binding/${built}`)))
    if (binary) await installation.add(installation.package, binary)
    return installation
  }

  /** The directory of the package. */
  get directory(): string {
    return join(this.root, 'node_modules/echo-node')
  }

  /** Where the binary is, or should be. */
  get binary(): string {
    return this.#binaryOf(this.package)
  }

  /** Adds a package with a binary, and says where that is. */
  async add(name: string, binary: Buffer): Promise<string> {
    const path = this.#binaryOf(name)
    await mkdir(dirname(path))
    await writeFile(path, binary)
    await writeFile(join(dirname(path), 'package.json'), JSON.stringify({ main: basename(path) }))
    return path
  }

  /** Runs the command; without arguments on a request that needs the engine. */
  command(args: string[], how: Circumstances = {}): Pick<SpawnSyncReturns<string>, 'status' | 'stdout' | 'stderr'> {
    const { flags = [], preload = '', wrapper = [], env = {} } = how
    const preloaded = preload ? ['--import', `data:text/javascript,${encodeURIComponent(preload)}`] : []
    const executable = join(this.directory, 'dist/bin/echo-node.js')
    const [file, ...rest] = [...wrapper, process.execPath, ...flags, ...preloaded, executable, ...args]
    const { status, stdout, stderr } = spawnSync(file!, rest, {
      input: `${INIT}\n${request('tcp_echo_start', 1, { port: 0 })}\n`,
      env: { ...process.env, ...env },
      encoding: 'utf8',
      timeout: DEADLINE,
    })
    return { status, stdout, stderr }
  }

  /** What importing the API throws: its code and message, and the first line of its cause. */
  importError(): string {
    const script = `import(${JSON.stringify(join(this.directory, 'dist/index.js'))}).then(
      () => console.log('imported'),
      ({ code, message, cause }) => console.log(code, message, 'because', cause?.message.split('\\n', 1)[0]),
    )`
    return spawnSync(process.execPath, ['-e', script], { encoding: 'utf8', timeout: DEADLINE }).stdout.trim()
  }

  #binaryOf(name: string): string {
    return join(this.root, 'node_modules', name, `${name.replace('echo-node-', 'echo-node.')}.node`)
  }
}
