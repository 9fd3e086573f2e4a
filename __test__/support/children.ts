// Child processes, none of which outlives its test.

import { spawn, type ChildProcess, type ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'

import { within } from './wait.ts'

/** A child whose three streams are pipes. */
export type Piped = ChildProcessByStdio<Writable, Readable, Readable>

/** What makes the kernel kill a program with the process that started it: ava ends a test that hangs with SIGKILL. */
export const MORTAL = ['setpriv', '--pdeathsig', 'KILL', '--'] as const

const alive = new Set<ChildProcess>()

process.on('exit', killAll)

/** For a teardown: ends whatever a failed test has left. */
export function killAll(): void {
  for (const child of alive) child.kill('SIGKILL')
}

/** Starts a program, and reads its lines. */
export class Child {
  readonly process: Piped
  /** What it has written to stderr. */
  stderr = ''
  /** Its lines that nobody has asked for yet. */
  readonly #lines: AsyncIterator<string>
  readonly #ended: Promise<number | NodeJS.Signals>

  constructor(command: string, args: string[]) {
    this.process = spawn(MORTAL[0], [...MORTAL.slice(1), command, ...args], { stdio: 'pipe' })
    alive.add(this.process)
    this.#ended = this.#waitForEnd()
    // Whoever waits for its end hears of the failure; nobody else is to fail of it.
    this.#ended.catch(() => {})
    this.#lines = createInterface(this.process.stdout)[Symbol.asyncIterator]()
    this.process.stdin.on('error', () => {})
    this.process.stderr.setEncoding('utf8').on('data', (text: string) => (this.stderr += text))
  }

  get pid(): number {
    return this.process.pid!
  }

  /** Its next line on stdout. */
  async line(limit?: number): Promise<string> {
    const { value, done } = await within(`a line of ${this.process.spawnargs.join(' ')}`, this.#lines.next(), limit)
    if (done) throw new Error(`the child ended before it wrote a line; stderr: ${this.stderr}`)
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

  /** Waits for its end; its exit code, or the signal that killed it. */
  end(limit?: number): Promise<number | NodeJS.Signals> {
    return within(`the end of ${this.process.spawnargs.join(' ')}`, this.#ended, limit)
  }

  async #waitForEnd(): Promise<number | NodeJS.Signals> {
    const [code, signal] = (await once(this.process, 'exit')) as [number | null, NodeJS.Signals | null]
    alive.delete(this.process)
    return code ?? signal!
  }

  /** Kills it, and waits for its end. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<number | NodeJS.Signals> {
    this.process.kill(signal)
    return this.end()
  }
}

/** Starts a program of this directory in a Node of its own. */
export function node(script: string, args: string[] = [], flags: string[] = []): Child {
  const path = fileURLToPath(new URL(script, import.meta.url))
  return new Child(process.execPath, [...flags, '--import', '@oxc-node/core/register', path, ...args])
}
