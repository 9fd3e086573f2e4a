// Child processes, none of which outlives the benchmark.
import { execFile, spawn, type ChildProcessWithoutNullStreams } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

/** A finished command. */
export interface Finished {
  code: number | null
  stdout: string
  stderr: string
}

/** A program that says one line once it is ready. */
export interface Ready {
  child: ChildProcessWithoutNullStreams
  firstLine: string
}

const alive = new Set<ChildProcessWithoutNullStreams>()
const run = promisify(execFile)

process.on('exit', () => {
  for (const child of alive) child.kill('SIGKILL')
})
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => process.exit(130))
}

/** The command that keeps a program on one core, or the program itself. */
export function onCore(core: number | undefined, command: string[]): string[] {
  return core === undefined ? command : ['taskset', '-c', String(core), ...command]
}

/** Starts a program. What it writes to stderr is passed on unless the caller takes it. */
export function launch([program, ...args]: string[], stderr: 'pass' | 'take' = 'pass'): ChildProcessWithoutNullStreams {
  const child = spawn(program!, args, { stdio: 'pipe' })
  alive.add(child)
  child.once('exit', () => alive.delete(child))
  child.once('error', () => alive.delete(child))
  // A program that is gone already needs no input.
  child.stdin.on('error', () => {})
  if (stderr === 'pass') child.stderr.pipe(process.stderr)
  return child
}

/** Starts a program and waits for its first line. */
export async function launchUntilReady(command: string[], timeout = 10_000): Promise<Ready> {
  const child = launch(command)
  const lines = createInterface(child.stdout)
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout)
  try {
    const firstLine = await Promise.race([once(lines, 'line'), failure(child, command)])
    return { child, firstLine: String(firstLine[0]) }
  } finally {
    clearTimeout(timer)
  }
}

async function failure(child: ChildProcessWithoutNullStreams, command: string[]): Promise<never> {
  const [code] = (await once(child, 'exit')) as [number | null]
  throw new Error(`${command.join(' ')} ended with ${code} before it was ready`)
}

/** Ends a program and waits until it is gone. A paused one is woken, or it could not notice. */
export async function end(child: ChildProcessWithoutNullStreams, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  child.kill('SIGCONT')
  await gone
}

/** Runs a command to its end, and collects what it prints. */
export async function finish(command: string[], timeout: number): Promise<Finished> {
  const child = launch(command, 'take')
  child.stdin.end()
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout)
  const [stdout, stderr, [code]] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    once(child, 'close') as Promise<[number | null]>,
  ])
  clearTimeout(timer)
  return { code, stdout, stderr }
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  let text = ''
  stream.setEncoding('utf8')
  for await (const chunk of stream) text += String(chunk)
  return text
}

/** Runs a short command that must succeed. */
export async function output(program: string, args: string[], cwd?: string): Promise<string> {
  const { stdout } = await run(program, args, { cwd, timeout: 600_000, maxBuffer: 64 << 20 })
  return stdout
}
