// What runs, and how long is left.
import type { Step } from './step.ts'

/** Says so on stderr: on a terminal in one line, elsewhere in a line a step. */
export class Progress {
  readonly #steps: readonly Step[]
  #done = 0

  constructor(steps: readonly Step[]) {
    this.#steps = steps
  }

  /** The next step begins. */
  next(step: Step): void {
    const left = this.#steps.slice(this.#done).reduce((sum, { seconds }) => sum + seconds, 0)
    this.#done += 1
    this.#say(`[${this.#done}/${this.#steps.length}] ${step.name}; about ${inWords(left)} left`)
  }

  /** All is done. */
  clear(): void {
    if (process.stderr.isTTY) this.#say('')
  }

  #say(text: string): void {
    process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`)
  }
}

function inWords(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`
}
