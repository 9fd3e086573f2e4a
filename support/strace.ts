// strace(1): it shows the system calls of a process or thread, counts them, or makes them fail.

import { execa } from 'execa'

import { mortal } from './children.ts'
import { until } from './wait.ts'

/** A strace that is attached to a thread. */
export class Tracer {
  /** What it has written so far: a line per call, or at its end a summary. */
  trace = ''
  readonly #process

  private constructor(thread: number, options: string[]) {
    this.#process = execa(...mortal(['strace', '-p', String(thread), ...options]), { buffer: false, reject: false })
    this.#process.stderr.setEncoding('latin1').on('data', (text: string) => (this.trace += text))
  }

  /** Attaches to a thread; `options` are strace's own. */
  static async attach(thread: number, ...options: string[]): Promise<Tracer> {
    const tracer = new Tracer(thread, options)
    await until(`strace ${options.join(' ')} is attached`, () => {
      // It may have ended with the thread by now.
      if (tracer.trace.includes('attached')) return true
      if (tracer.#process.stderr.readableEnded) throw new Error(`strace: ${tracer.trace}`)
      return false
    })
    return tracer
  }

  /** How many calls it has tampered with. */
  get injected(): number {
    return this.trace.split('(INJECTED').length - 1
  }

  /** Waits until what it traces has ended. */
  async end(): Promise<void> {
    await this.#process
  }

  /** Lets the thread go. */
  async detach(): Promise<void> {
    this.#process.kill('SIGINT')
    await this.end()
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
