/** Someone who has Node.js and npm, and nothing else: no compiler, no cache, no settings. */

import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'

import type { Command } from '../../support/children.ts'
import { locate } from '../../support/programs.ts'
import { attempt, run, type Outcome } from '../../support/run.ts'

const COMMANDS = ['npm', 'npx', 'sh']

interface Extras {
  input?: string
  env?: NodeJS.ProcessEnv
}

/** A user with a home of their own. */
export class User {
  readonly #home: string
  readonly #env: NodeJS.ProcessEnv

  private constructor(home: string) {
    this.#home = home
    // Nothing is inherited: neither the settings of the outer npm nor a compiler.
    this.#env = { HOME: home, TMPDIR: home, PATH: join(home, 'bin') }
  }

  /** Sets up a user whose npm knows only the given registry. */
  static async settle(home: string, registry: string): Promise<User> {
    await mkdir(join(home, 'bin'), { recursive: true })
    await symlink(process.execPath, join(home, 'bin/node'))
    for (const name of COMMANDS) await symlink(find(name), join(home, 'bin', name))
    // npm needs a token to publish; this registry takes any.
    const token = `${registry.replace(/^http:/, '')}:_authToken=none`
    const settings = [`registry=${registry}`, token, 'fund=false', 'audit=false', 'update-notifier=false']
    await writeFile(join(home, '.npmrc'), settings.join('\n'))
    const user = new User(home)
    const { code } = await user.attempt(['sh', '-c', 'command -v cargo || command -v rustc'], home)
    if (code === 0) throw new Error('cargo and rustc must not be on the PATH of this user')
    return user
  }

  /** A new directory of theirs. */
  async directory(name: string): Promise<string> {
    const path = join(this.#home, name)
    await mkdir(path)
    return path
  }

  /** A tool of the packages that surround their home. */
  tool(name: string): string {
    return join(this.#home, '../node_modules/.bin', name)
  }

  run(command: Command, cwd: string, { input = '', env = {} }: Extras = {}): Promise<string> {
    return run(this.#absolute(command), { cwd, env: { ...this.#env, ...env }, clean: true, input })
  }

  attempt(command: Command, cwd: string, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    return attempt(this.#absolute(command), { cwd, env: { ...this.#env, ...env }, clean: true })
  }

  #absolute([name, ...args]: Command): Command {
    return [resolve(this.#home, 'bin', name!), ...args]
  }
}

function find(name: string): string {
  const path = locate(name)
  if (path === undefined) throw new Error(`${name} is not on the PATH`)
  return path
}
