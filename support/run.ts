// Commands that run to their end.

import type { Readable } from 'node:stream'

import { execa } from 'execa'

import { mortal, type Command } from './children.ts'

const DEADLINE = 120_000

/** What a command did: `code` if it exited, `signal` if one killed it. */
export interface Outcome {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Where and with what a command runs. */
export interface Circumstances {
  cwd?: string
  /** In addition to those of this process, unless `clean`. */
  env?: NodeJS.ProcessEnv
  /** Whether it gets none of this process's environment. */
  clean?: boolean
  input?: string | Uint8Array | Readable
  /** Milliseconds after which it is killed: two minutes by default. */
  timeout?: number
}

/** Runs a command to its end, and returns what it did. */
export async function attempt(command: Command, circumstances: Circumstances = {}): Promise<Outcome> {
  const { clean = false, input = '', timeout = DEADLINE, ...rest } = circumstances
  const result = await execa(...mortal(command), {
    ...rest,
    input,
    timeout,
    killSignal: 'SIGKILL',
    extendEnv: !clean,
    stripFinalNewline: false,
    reject: false,
  })
  const { exitCode = null, signal = null, stdout, stderr } = result
  if (exitCode === null && signal === null) throw result
  return { code: exitCode, signal, stdout, stderr }
}

/** Runs a command that must succeed, and returns what it wrote to stdout. */
export async function run(command: Command, circumstances?: Circumstances): Promise<string> {
  const { code, signal, stdout, stderr } = await attempt(command, circumstances)
  if (code !== 0) throw new Error(`${command.join(' ')}: ${signal ?? `exit ${code}`}\n${stdout}${stderr}`)
  return stdout
}
