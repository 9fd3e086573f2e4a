// Faults that the kernel seems to report: strace(1) makes a thread's system calls fail, or changes what they say.

import { once } from 'node:events'
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable } from 'node:stream'

import { MORTAL } from './children.ts'
import { until } from './wait.ts'

/** A strace that is attached to a thread. */
export class Tracer {
  /** What it has traced so far: a line a call. */
  trace = ''
  readonly #process: ChildProcessByStdio<null, null, Readable>

  private constructor(thread: number, options: string[]) {
    this.#process = spawn(MORTAL[0], [...MORTAL.slice(1), 'strace', '-p', String(thread), ...options], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#process.stderr.setEncoding('latin1').on('data', (text: string) => (this.trace += text))
    process.once('exit', this.#kill)
  }

  readonly #kill = () => this.#process.kill('SIGKILL')

  /** Attaches to a thread; `options` are strace's own. */
  static async attach(thread: number, ...options: string[]): Promise<Tracer> {
    const tracer = new Tracer(thread, options)
    await until(`strace ${options.join(' ')} is attached`, () => {
      if (tracer.#process.exitCode !== null) throw new Error(`strace: ${tracer.trace}`)
      return tracer.trace.includes('attached')
    })
    return tracer
  }

  /** How many calls it has tampered with. */
  get injected(): number {
    return this.trace.split('(INJECTED').length - 1
  }

  /** Lets the thread go. */
  async detach(): Promise<void> {
    process.off('exit', this.#kill)
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = once(this.#process, 'close')
    this.#process.kill('SIGINT')
    await gone
  }
}

/** Makes a thread's system calls of this name fail. `when` is strace's: `2` is the second one, `1+3` every third. */
export function fail(thread: number, syscall: string, errno: string, when: string): Promise<Tracer> {
  const names = NAMES[syscall] ?? syscall
  return Tracer.attach(thread, '-e', `trace=${names}`, '-e', `inject=${names}:error=${errno}:when=${when}`)
}

/** Calls that go by another name on some architectures; strace passes over a name with a question mark. */
const NAMES: Record<string, string> = {
  epoll_wait: '?epoll_wait,?epoll_pwait',
  clone: '?clone,?clone3',
}
