import type { EchoServer, Stats } from '../index.ts'
import { formatBytes, formatTotals } from './format.ts'
import { output, print } from './process.ts'

const INTERVAL = 1000
/** Columns that it leaves free: for the ^C that ends it, and one because a terminal may wrap a line that fills it. */
const FREE_COLUMNS = 3
const CLEAR = '\r\u001b[K'

/** Shows what a server does in one line, which is always the last one of the terminal. */
export class LiveLine {
  #shown = ''
  #timer: NodeJS.Timeout | undefined

  /** Shows it each second. */
  start(server: EchoServer): void {
    let before = server.stats()
    this.#timer = setInterval(() => {
      const now = server.stats()
      const width = Math.max(0, (process.stdout.columns || 80) - FREE_COLUMNS)
      this.#shown = text(before, now).slice(0, width)
      // Not while the terminal takes no output: memory would grow with the lines.
      if (output.writableLength === 0) print(CLEAR + this.#shown)
      before = now
    }, INTERVAL)
  }

  /** Puts lines above it. */
  above(lines: string): string {
    return CLEAR + lines + this.#shown
  }

  /** Takes it away. */
  end(): void {
    clearInterval(this.#timer)
    this.#shown = ''
    print(CLEAR)
  }
}

function text(before: Stats, now: Stats): string {
  const rate = formatBytes(now.totalBytes - before.totalBytes)
  return `${now.activeConnections} connected, ${rate}/s; in all ${formatTotals(now)}`
}
