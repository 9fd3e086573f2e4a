import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'

import { now } from '../api/timers.ts'
import { send } from '../index.ts'
import { duration, inRange, number, UsageError, type PingArguments } from './arguments.ts'
import { PingResults } from './ping-results.ts'
import { afterRunning, leaveAtOnce, onReaderGone, onStopSignal } from './process.ts'
import { runRound, type Target } from './round.ts'

const MAX_PORT = 65_535
const MAX_COUNT = 0xffff_ffff
const MAX_SIZE = 64 * 1024 * 1024
/** The longest time that a timer can wait for, in milliseconds. */
const MAX_TIME = 0x7fff_ffff

/** How long the round under way may go on after a stop signal, in milliseconds. */
const GRACE = 500

/**
 * Sends random bytes to an echo server, round after round, and prints what comes back; at the end a summary. The process is to
 * exit with 0 if every round was echoed, otherwise with 1.
 */
export async function ping(targetText: string, args: PingArguments): Promise<void> {
  const target = parseTarget(targetText)
  const count = inRange('--count', number('--count', args.count), 1, MAX_COUNT) ?? Infinity
  const size = inRange('--size', number('--size', args.size), 0, MAX_SIZE) ?? 64
  const interval = inRange('--interval', duration('--interval', args.interval), 0, MAX_TIME) ?? 1000
  const timeout = inRange('--timeout', duration('--timeout', args.timeout), 1, MAX_TIME) ?? 4000

  const [stop, cut] = [new AbortController(), new AbortController()]
  const end = (): void => {
    stop.abort()
    afterRunning(GRACE, () => cut.abort())
  }
  onStopSignal(end)
  onReaderGone(end)
  // Loads what a send needs: the first round is not to take longer for it.
  await send('', { port: target.port, signal: AbortSignal.abort() }).catch(() => {})
  const results = new PingResults(target, size, args.json === true)
  for (let seq = 1; seq <= count && !stop.signal.aborted; seq++) {
    const next = now() + interval
    results.add(seq, await runRound(target, randomBytes(size), timeout, cut.signal))
    // Rejects when it is aborted.
    const pause = Math.max(0, next - now())
    if (seq < count) await delay(pause, undefined, { signal: stop.signal }).catch(() => {})
  }
  // Node.js would wait for a lookup of a name that is not over.
  leaveAtOnce()
  // An output that has failed has set it already.
  if (!results.end()) process.exitCode = 1
}

function parseTarget(text: string): Target {
  const [, host, port] = /^([^\s:/\p{C}]+):(\d{1,5})$/u.exec(text) ?? []
  if (host !== undefined && Number(port) >= 1 && Number(port) <= MAX_PORT) return { host, port: Number(port) }
  const expected = 'HOST:PORT, an IPv4 address or a name and a port from 1 to 65535'
  throw new UsageError(`the target must be ${expected}, got ${JSON.stringify(text)}`)
}
