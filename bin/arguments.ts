import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/** Arguments that make no sense. The message is one line for the user. */
export class UsageError extends Error {
  readonly exitCode = 2
}

/** What `--help` prints. */
export const HELP = `Usage:
  echo-node                 a Maelstrom node: requests on stdin, replies on stdout, one JSON object per line
  echo-node serve [...]     an echo server, until SIGINT, SIGTERM or SIGHUP
  echo-node ping HOST:PORT [...]
                            sends to an echo server, round after round, and compares what comes back

Options of serve:
  -p, --port N              port to listen on; 0 takes any free port (default: PORT in the environment, or 7007)
  --host A                  IPv4 address to listen on, or localhost (default: 127.0.0.1, only this machine)
  --max-connections N       connections open at once; more are rejected (default: no limit)
  --idle-timeout D          close connections that are idle for this time (default: 0, never)
  --threads N               I/O threads (default: one per CPU, at most 4)
  --delay D or D-D          echo so much later; a range is by chance
  --rate N                  echo at most so many bytes per second and connection
  --chunk N                 write at most so many bytes at once
  --reset-after N           reset a connection when so many bytes were echoed
  --end-after N             end it then
  --stall-after N           neither echo nor read then
  --share F                 the part of the connections that these faults hit (default: 1)
  --seed N                  what the delays of a range follow from (default: 1)
  --verbose                 print a line for each connection, and for its end
  --json                    print events as JSON, one object per line: listening, connection, disconnect, drop,
                            missed, omitted, stopped, failed

Options of ping:
  --count N                 end after so many rounds (default: at a stop signal)
  --interval D              from the start of a round to that of the next one (default: 1s)
  --size N                  random bytes per round (default: 64)
  --timeout D               a round that takes longer is lost (default: 4s)
  --json                    print events as JSON, one object per line: echo, loss, omitted, summary

Others:
  -h, --help                print this help
  -v, --version             print the version

Durations (D) are 500ms, 30s, 2m, or a number of milliseconds.
A stop signal ends serve after the data under way was echoed, at most a second later. A second one, half a second later or
more, ends it at once.
ping exits with 0 if every round was echoed, with 1 if not. What went wrong with a round is one word: DNS, REFUSED, TIMEOUT,
UNREACHABLE, RESET, MISMATCH or OTHER.
`

const SERVE = {
  port: { type: 'string', short: 'p' },
  host: { type: 'string' },
  'max-connections': { type: 'string' },
  'idle-timeout': { type: 'string' },
  threads: { type: 'string' },
  delay: { type: 'string' },
  rate: { type: 'string' },
  chunk: { type: 'string' },
  'reset-after': { type: 'string' },
  'end-after': { type: 'string' },
  'stall-after': { type: 'string' },
  share: { type: 'string' },
  seed: { type: 'string' },
  verbose: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

const PING = {
  count: { type: 'string' },
  interval: { type: 'string' },
  size: { type: 'string' },
  timeout: { type: 'string' },
  json: { type: 'boolean' },
} as const

const OPTIONS = {
  ...SERVE,
  ...PING,
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const

type Typed<Options extends Record<string, { type: string }>> = {
  [Name in keyof Options]?: Options[Name]['type'] extends 'string' ? string : true
}

/** The options of `serve`, as they were typed. */
export type ServeArguments = Typed<typeof SERVE>

/** The options of `ping`, as they were typed. */
export type PingArguments = Typed<typeof PING>

/** What the arguments ask for. */
export type Asked =
  | { command: 'node' }
  | { command: 'help' }
  | { command: 'version' }
  | { command: 'serve'; options: ServeArguments }
  | { command: 'ping'; target: string; options: PingArguments }

/** What the arguments ask for. Throws a `UsageError` if they make no sense. */
export function readArguments(args: string[]): Asked {
  // Not strict: the messages of strict parsing are about syntax, and cannot take a value such as -1.
  const { tokens, positionals } = parseArgs({ args, options: OPTIONS, strict: false, tokens: true })
  const options: Record<string, string | true> = {}
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const { name, rawName, value } = token
    if (!Object.hasOwn(OPTIONS, name)) throw new UsageError(`unknown option ${rawName}, see --help`)
    const takesValue = OPTIONS[name as keyof typeof OPTIONS].type === 'string'
    if (takesValue && value === undefined) throw new UsageError(`${rawName} needs a value`)
    if (!takesValue && value !== undefined) throw new UsageError(`${rawName} takes no value`)
    options[name] = value ?? true
  }
  if (options['help']) return { command: 'help' }
  if (options['version']) return { command: 'version' }
  const [command, ...more] = positionals
  if (command !== undefined && command !== 'serve' && command !== 'ping') {
    throw new UsageError(`the command must be serve or ping, see --help, got ${JSON.stringify(command)}`)
  }
  for (const name of Object.keys(options)) checkBelongs(name, command)
  const target = command === 'ping' ? more.shift() : undefined
  if (more.length > 0) {
    const expected =
      target === undefined ? 'serve takes only options, such as --port N' : 'ping takes one target, HOST:PORT'
    throw new UsageError(`${expected}, got also ${JSON.stringify(more[0])}`)
  }
  if (command === undefined) return { command: 'node' }
  if (command === 'serve') return { command, options }
  if (target === undefined) throw new UsageError('ping needs a target: echo-node ping HOST:PORT')
  return { command, target, options }
}

function checkBelongs(option: string, command: string | undefined): void {
  const commands = Object.entries({ serve: SERVE, ping: PING }).filter(([, options]) => Object.hasOwn(options, option))
  const names = commands.map(([name]) => name)
  if (command !== undefined && names.includes(command)) return
  throw new UsageError(`--${option} needs the command ${names.join(' or ')}: echo-node ${names[0]} --${option} …`)
}

/** The number that an option was given as text. Its range is checked by the API. */
export function number(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^-?(\d+|\d*\.\d+)(e[-+]?\d+)?$/i.test(text)) return Number(text)
  throw new UsageError(`${name} must be a number, got ${JSON.stringify(text)}`)
}

/** The same number, or none, if it is an integer in this range. */
export function inRange(name: string, value: number | undefined, min: number, max: number): number | undefined {
  if (value === undefined || (Number.isInteger(value) && value >= min && value <= max)) return value
  throw new UsageError(`${name} must be an integer from ${min} to ${max}, got ${value}`)
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

/** The milliseconds of a duration such as 30s. */
export function duration(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const [, value, unit = 'ms'] = /^(\d+|\d*\.\d+)(ms|s|m)?$/.exec(text) ?? []
  // Rounded, because 1.1 times 60,000 is 66,000.00000000001.
  const milliseconds = Number((Number(value) * UNITS[unit]!).toPrecision(12))
  if (Number.isInteger(milliseconds)) return milliseconds
  const examples = 'in whole milliseconds, such as 500ms, 30s or 2m'
  throw new UsageError(`${name} must be a duration ${examples}, got ${JSON.stringify(text)}`)
}

/** A duration, or a range of two. */
export function durations(name: string, text: string | undefined): number | [number, number] | undefined {
  const [from, to, ...more] = text?.split('-') ?? []
  // Of something else the whole is named.
  if (!from || !to || more.length > 0) return duration(name, text)
  const range: [number, number] = [duration(name, from)!, duration(name, to)!]
  if (range[0] <= range[1]) return range
  throw new UsageError(`${name} must be a range from a shorter to a longer duration, got ${JSON.stringify(text)}`)
}

/** The version of this package. */
export function version(): string {
  const manifest = readFileSync(join(__dirname, '../../package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
