/**
 * Calls back at the first SIGINT or SIGTERM, so that the process can end in order. The next one does what it does to any
 * process: kills it.
 */
export function onEndSignal(end: () => void): void {
  const signals = ['SIGINT', 'SIGTERM'] as const
  const first = (): void => {
    for (const signal of signals) process.off(signal, first)
    end()
  }
  for (const signal of signals) process.on(signal, first)
}

let full = false
let leftOut = 0

/**
 * Writes one line to stderr. While nobody reads stderr lines are counted instead, so that memory does not grow with
 * every malformed request.
 */
export function report(line: string): void {
  if (full) {
    leftOut++
    return
  }
  if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {})
  full = !process.stderr.write(`echo-node: ${line}\n`)
  if (full) process.stderr.once('drain', resume)
}

function resume(): void {
  full = false
  if (leftOut === 0) return
  const count = leftOut
  leftOut = 0
  report(`${count} more lines, left out as nobody read them`)
}
