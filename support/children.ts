// Child processes that are talked to while they run. None outlives the process that started it.

import { once } from 'node:events'

import { execa } from 'execa'

import { locate } from './programs.ts'
import { within } from './wait.ts'

/** A program and its arguments. */
export type Command = readonly string[]

const alive = new Set<Child>()

// By its path: not every child has the PATH of this process. Only Linux has it.
const SETPRIV = process.platform === 'linux' ? locate('setpriv') : undefined

/**
 * What to give to execa so that Linux kills the program with the process that started it, even if that one ends by
 * SIGKILL.
 */
export function mortal(command: Command): [file: string, args: string[]] {
  const [file, ...args] = SETPRIV === undefined ? command : [SETPRIV, '--pdeathsig', 'KILL', '--', ...command]
  return [file!, args]
}

/** For a teardown: kills whatever a failed test has left. */
export function killAll(): void {
  for (const child of alive) child.process.kill('SIGKILL')
}

/** A program whose lines are read one by one. */
export class Child {
  readonly process
  /** What it has written to stderr. */
  stderr = ''
  /** Its lines that nobody has asked for yet. */
  readonly #lines: AsyncIterator<string>
  readonly #name: string
  readonly #ended: Promise<number | NodeJS.Signals>

  constructor(command: Command) {
    this.#name = command.join(' ')
    this.process = execa(...mortal(command), { buffer: false, reject: false, stdio: 'pipe' })
    alive.add(this)
    this.#ended = this.#waitForEnd()
    // Only a caller of `end` is to hear of a failure.
    this.#ended.catch(() => {})
    // Not by node:readline: from Node.js 24 on it ends lines at U+2028, too.
    this.#lines = this.process.iterable()[Symbol.asyncIterator]()
    this.process.stdin.on('error', () => {})
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
  }

  get pid(): number {
    return this.process.pid!
  }

  /** Its next line on stdout. */
  async line(limit?: number): Promise<string> {
    const { value, done } = await within(`a line of ${this.#name}`, this.#lines.next(), limit)
    if (done) throw new Error(`${this.#name} ended before it wrote a line; stderr: ${this.stderr}`)
    return value
  }

  /** Its next line, as JSON. */
  async json<T>(limit?: number): Promise<T> {
    return JSON.parse(await this.line(limit)) as T
  }

  /** Sends it a line, and reads one as JSON. */
  ask<T>(line: string, limit?: number): Promise<T> {
    this.process.stdin.write(`${line}\n`)
    return this.json<T>(limit)
  }

  /** Waits for its end: its exit code, or the signal that killed it. */
  end(limit?: number): Promise<number | NodeJS.Signals> {
    return within(`the end of ${this.#name}`, this.#ended, limit)
  }

  /** Sends it a signal, and waits for its end. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | NodeJS.Signals> {
    this.process.kill(signal)
    return this.end()
  }

  async #waitForEnd(): Promise<number | NodeJS.Signals> {
    // Not the end of its streams: nobody may be reading them.
    const [code, signal] = (await once(this.process, 'exit')) as [number | null, NodeJS.Signals | null]
    alive.delete(this)
    return code ?? signal!
  }
}
