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

Options of serve:
  -p, --port N              port to listen on; 0 takes any free port (default: PORT in the environment, or 7007)
  --host A                  IPv4 address to listen on, or localhost (default: 127.0.0.1, only this machine)
  --max-connections N       connections open at once; more are rejected (default: no limit)
  --idle-timeout D          close connections that are idle for this time (default: 0, never)
  --threads N               I/O threads (default: 1)
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

Others:
  -h, --help                print this help
  -v, --version             print the version

Durations (D) are 500ms, 30s, 2m, or a number of milliseconds.
A stop signal ends serve after the data under way was echoed. A second one, half a second later or more, ends it at once.
`

const OPTIONS = {
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
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const

type Flag = 'verbose' | 'json'

/** The options of `serve`, as they were typed. */
export type ServeArguments = Partial<Record<Exclude<keyof typeof OPTIONS, Flag>, string> & Record<Flag, true>>

/** What the arguments ask for. Throws a `UsageError` if they make no sense. */
export function readArguments(args: string[]): ServeArguments | 'node' | 'help' | 'version' {
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
  if (options['help']) return 'help'
  if (options['version']) return 'version'
  const [command, extra] = positionals
  if (extra !== undefined) throw new UsageError(`only one command is possible, got also ${JSON.stringify(extra)}`)
  if (command === 'serve') return options
  if (command !== undefined) throw new UsageError(`the command must be serve, got ${JSON.stringify(command)}`)
  const [stray] = Object.keys(options)
  if (stray !== undefined) throw new UsageError(`--${stray} needs the command serve: echo-node serve --${stray} …`)
  return 'node'
}

/** The number that an option was given as text. Its range is checked by the API. */
export function number(name: string, text: string | undefined): number | undefined {
  if (text === undefined || /^-?\d+(\.\d+)?$/.test(text)) return text === undefined ? undefined : Number(text)
  throw new UsageError(`${name} must be a number, got ${JSON.stringify(text)}`)
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

/** The milliseconds of a duration such as 30s. */
export function duration(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const [, value, unit = 'ms'] = /^(\d+(?:\.\d+)?)(ms|s|m)?$/.exec(text) ?? []
  // Rounded, because 1.1 times 60,000 is 66,000.00000000001.
  const milliseconds = Number((Number(value) * UNITS[unit]!).toPrecision(12))
  if (Number.isInteger(milliseconds)) return milliseconds
  const examples = 'in whole milliseconds, such as 500ms, 30s or 2m'
  throw new UsageError(`${name} must be a duration ${examples}, got ${JSON.stringify(text)}`)
}

/** A duration, or a range of two. */
export function durations(name: string, text: string | undefined): number | [number, number] | undefined {
  const [from, to, ...more] = text?.split('-') ?? []
  if (!from || to === undefined || more.length > 0) return duration(name, text)
  return [duration(name, from)!, duration(name, to)!]
}

/** The version of this package. */
export function version(): string {
  const manifest = readFileSync(join(__dirname, '../../package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
