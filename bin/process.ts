import { closeSync, constants as fileConstants, createWriteStream, fstatSync, open, readFileSync, write } from 'node:fs'
import { constants } from 'node:os'
import { Readable, Writable } from 'node:stream'

import { now } from '../api/timers.ts'

const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** Milliseconds. npm, `timeout` and process managers send a signal twice, or two different ones. */
const SAME_REQUEST = 500
const TICK = SAME_REQUEST / 5
/** Not 0: on a machine that is always busy all ticks may be late. */
const LATE_TICK = TICK / 10
/** How long to wait for somebody to read the last lines. */
const LAST_LINES = 5000

type Written = (error: NodeJS.ErrnoException | null, count: number, buffer: Buffer) => void

/** Bytes. As much as a terminal holds. */
const PART = 4096
/** Milliseconds. */
const PAUSE = 20

/** What Node.js has of a terminal, a pipe or a socket. */
interface Handle {
  /** Another one than the stream's, if libuv has opened the terminal again for itself. */
  fd: number
  /** Bytes that the system has not taken. */
  writeQueueSize: number
  setBlocking(isBlocking: boolean): void
}

type StandardStream = typeof process.stdout | typeof process.stderr

/** What the thread pool writes. */
const pooled: Writable[] = []
/** Pipes and sockets that libuv reads and writes, and so lets not block. Other programs may have them, too. */
const shared: (Readable | Writable)[] = []
/** The standard streams that blocked before, by their descriptors: to be asked before libuv has them. */
const blocking = new Set([0, 1, 2].filter(isBlocking))

/** Standard output. */
export const output = openOutput(process.stdout)

function openOutput(stream: StandardStream): Writable {
  if (canWrite(stream)) return stream.isTTY ? stream : keepFromBlocking(stream)
  const ours = createWriteStream('', { fd: stream.fd, fs: { open, write: writePart, close: keepOpen } })
  pooled.push(ours)
  return ours
}

/** Lets a stream not block at each write: a Node.js program that has the same pipe lets it block again when it ends. */
function keepFromBlocking(stream: Writable): Writable {
  const writeOn = stream.write.bind(stream) as (...args: unknown[]) => boolean
  shared.push(stream)
  return Object.assign(stream, {
    write(...args: unknown[]) {
      handleOf(stream)?.setBlocking(false)
      return writeOn(...args)
    },
  })
}

/** Whether a descriptor blocks, as nearly all do: a program with an event loop of its own may have passed one on that does not. */
function isBlocking(descriptor: number): boolean {
  try {
    const [, flags] = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))!
    return (parseInt(flags!, 8) & fileConstants.O_NONBLOCK) === 0
  } catch {
    // Nothing tells: there is no proc(5), or Node.js may not read it.
    return true
  }
}

/** Lets the shared streams block as before, for the program that has them next. Node.js does so only at an exit of its own. */
function letBlock(): void {
  for (const stream of shared) {
    const handle = handleOf(stream)
    if (handle !== undefined && blocking.has(handle.fd)) handle.setBlocking(true)
  }
}

function handleOf(stream: Readable | Writable): Handle | undefined {
  // oxlint-disable-next-line no-underscore-dangle -- Node.js has no public way to it
  return (stream as { _handle?: Handle | null })._handle ?? undefined
}

/** A write to a terminal is over when all is read. In parts one sees that somebody reads. */
function writePart(fd: number, buffer: Buffer, offset: number, length: number, at: number, done: Written): void {
  write(fd, buffer, offset, Math.min(length, PART), at, (error, count) => {
    // Another program that has the terminal, too, may let it not block.
    if (error?.code === 'EAGAIN') setTimeout(writePart, PAUSE, fd, buffer, offset, length, at, done)
    else done(error, count, buffer)
  })
}

/** What has failed is closed; the descriptor is not ours. */
function keepOpen(_: number, done: (error?: null) => void): void {
  done()
}

/** Whether Node.js's own stream writes all, and holds up nothing. */
function canWrite(stream: StandardStream): boolean {
  // The stream for files takes a short write, as on a full disk, for a whole one; the one for a descriptor that Node.js does
  // not know, such as a directory, drops all.
  if (!stream.isTTY) return !fstatSync(stream.fd).isFile() && Object.getPrototypeOf(stream) !== Writable.prototype
  const handle = handleOf(stream)
  // A terminal of another user cannot be opened again: a change of its mode would be one for all who use it.
  if (handle === undefined || handle.fd === stream.fd) return false
  // One that takes no output, as after Ctrl-S, would block the process, and no signal could end it.
  handle.setBlocking(false)
  return true
}

/** Standard input. */
export function openInput(): Readable {
  // Node.js gives an empty stream for a descriptor that it does not know, such as a directory.
  if (Object.getPrototypeOf(process.stdin) !== Readable.prototype) {
    if (!process.stdin.isTTY) shared.push(process.stdin)
    return process.stdin
  }
  throw new Error('cannot read requests: stdin must be a file, a pipe, a stream socket or a terminal')
}

/**
 * Calls back at the first stop signal, so that the process can drain. More signals within half a second belong to the
 * same request. A later one ends the process at once.
 */
export function onStopSignal(stop: () => void): void {
  let react: (signal: NodeJS.Signals) => void = () => {
    react = () => {}
    afterRunning(SAME_REQUEST, () => (react = endBy))
    stop()
  }
  for (const signal of STOP_SIGNALS) process.on(signal, () => react(signal))
}

/** Calls back every tick, with the milliseconds that count: of a stall few do, for what it has held up comes later. */
function onTicks(tick: (passed: number) => void): NodeJS.Timeout {
  let before = now()
  return setInterval(() => {
    const time = now()
    const isLate = time - before > 2 * TICK
    before = time
    tick(isLate ? LATE_TICK : TICK)
  }, TICK)
}

/** Calls back when the process has run for so many milliseconds: what came within them has been heard, also after a stall. */
export function afterRunning(time: number, run: () => void): void {
  let left = time
  const ticks = onTicks((passed) => {
    left -= passed
    if (left > 0) return
    clearInterval(ticks)
    run()
  })
}

function endBy(signal: NodeJS.Signals): void {
  letBlock()
  process.removeAllListeners(signal)
  process.kill(process.pid, signal)
  // Still alive: for process 1 of a container the kernel ignores signals without a handler.
  exitNow(128 + constants.signals[signal])
}

/** Whether a write failed because its reader is gone. That is how many programs end, and nothing to complain about. */
export function isReaderGone({ code, syscall }: NodeJS.ErrnoException): boolean {
  // A terminal that was closed answers EIO.
  return syscall === 'write' && (code === 'EPIPE' || code === 'ECONNRESET' || (code === 'EIO' && process.stdout.isTTY))
}

/** Writes to stdout. If that fails, the process ends with a line on stderr, except that it goes on without a reader. */
export function print(text: string, whenWritten?: () => void): void {
  if (output.listenerCount('error') === 0) output.on('error', onOutputError)
  output.write(text, whenWritten)
}

/**
 * Ends the process when all output is written. If it were left to end by itself, a stop signal sent twice could kill it:
 * Node.js gives up its signal handlers before the process is gone.
 */
export async function exit(): Promise<never> {
  if (givesUpUnread) giveUpWhenStuck(output)
  await written(output)
  if (reports !== undefined) {
    giveUpWhenStuck(reports)
    await written(reports)
  }
  return exitNow()
}

/** Ends the process when nobody has read what it has written for a while. Who reads slowly gets all of it. */
function giveUpWhenStuck(stream: Writable): void {
  let [before, stuck] = [unread(stream), 0]
  onTicks((passed) => {
    const current = unread(stream)
    stuck = current === before && stream.writableLength > 0 ? stuck + passed : 0
    before = current
    if (stuck >= LAST_LINES) exitNow()
  })
}

/** Changes as long as the system takes what was written. */
function unread(stream: Writable): number {
  // A write of Node.js's says only when it is over.
  const { bytesWritten } = Object(stream) as { bytesWritten: number }
  return stream.writableLength + (handleOf(stream)?.writeQueueSize ?? 0) - bytesWritten
}

/** Waits until a stream has written what it holds, and what comes meanwhile. With nothing to write, a broken one is not asked. */
async function written(stream: Writable): Promise<void> {
  while (stream.writableLength > 0 && !stream.destroyed) await new Promise((resolve) => stream.write('', resolve))
}

let isAtOnce = false

/** Lets the process end without a wait for the thread pool, where a lookup of a name may take its time. */
export function leaveAtOnce(): void {
  isAtOnce = true
}

/** Ends the process. */
function exitNow(code = Number(process.exitCode ?? 0)): never {
  // Node.js restores the settings of its terminals when it exits, and aborts if a terminal is gone. There is nothing to
  // restore, and those that are closed it passes over.
  for (const descriptor of [0, 1, 2]) if (fstatSync(descriptor).isCharacterDevice()) closeSync(descriptor)
  // Node.js would wait for a write that is under way, too.
  if (isAtOnce || pooled.some(({ writableLength }) => writableLength > 0)) {
    letBlock()
    exitNative(code)
  }
  process.exit(code)
}

/** Ends the process without waiting for its threads. The addon is loaded when it is first needed. */
function exitNative(code: number): void {
  const binding = require('../api/binding.js') as typeof import('../api/binding.ts')
  binding.exitNative(code)
}

/** Calls back when the reader of stdout is gone. */
export function onReaderGone(run: () => void): void {
  output.once('close', run)
}

function onOutputError(error: NodeJS.ErrnoException): void {
  if (isReaderGone(error)) return
  report(`cannot write to stdout: ${error.message}`)
  process.exitCode = 1
  void exit()
}

/** Lets the process end after a while although nobody reads stdout: a log may stay unread, replies may not. */
export function giveUpUnread(): void {
  givesUpUnread = true
}

/** Bytes of reports that wait at most. */
const UNREAD_REPORTS = 1024 * 1024

let givesUpUnread = false
/** Standard error, once something was reported. */
let reports: Writable | undefined
let isFull = false
let leftOut = 0

/**
 * Writes one line to stderr, with control characters escaped. While nobody reads stderr, lines are only counted, so that
 * memory does not grow with them.
 */
export function report(line: string): void {
  if (isFull) return void leftOut++
  reports ??= openOutput(process.stderr).on('error', () => {})
  reports.write(`echo-node: ${line.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped)}\n`)
  isFull = reports.writableLength > UNREAD_REPORTS
  if (isFull) reports.once('drain', resume)
}

function escaped(character: string): string {
  return `\\u{${character.codePointAt(0)!.toString(16)}}`
}

function resume(): void {
  isFull = false
  if (leftOut > 0) report(`${leftOut} more lines, left out because nobody read them`)
  leftOut = 0
}
