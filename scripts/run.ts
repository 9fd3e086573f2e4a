import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'

const DEADLINE = 120_000

/** A program and its arguments. */
export type Command = readonly [string, ...string[]]

/** What a command did. */
export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** Where and with what a command runs. */
export interface Circumstances {
  cwd: string
  env?: NodeJS.ProcessEnv
  input?: string
}

/** Runs a command to its end, with what it is given on stdin. It is killed after two minutes. */
export async function attempt([file, ...args]: Command, { cwd, env, input = '' }: Circumstances): Promise<Outcome> {
  const child = spawn(file, args, { cwd, env: env ?? process.env, timeout: DEADLINE, killSignal: 'SIGKILL' })
  // A command that does not read its input says so by its outcome.
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const exit = new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  const [code, stdout, stderr] = await Promise.all([exit, text(child.stdout), text(child.stderr)])
  return { code, stdout, stderr }
}

/** Runs a command that must succeed, and returns what it wrote to stdout. */
export async function run(command: Command, circumstances: Circumstances): Promise<string> {
  const { code, stdout, stderr } = await attempt(command, circumstances)
  if (code !== 0) throw new Error(`${command.join(' ')}: exit ${code}\n${stdout}${stderr}`)
  return stdout
}
