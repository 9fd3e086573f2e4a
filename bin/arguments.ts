import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'

/** Arguments that cannot be followed; the message is one line for the user. */
export class UsageError extends Error {}

/** The arguments of `serve` as they were typed. */
export interface ServeArguments {
  port?: string
  host?: string
  'max-connections'?: string
  'idle-timeout'?: string
  json?: boolean
}

/** What `--help` prints. */
export const HELP = `Usage:
  echo-node                 a Maelstrom node: requests on stdin, replies on stdout, one JSON object a line
  echo-node serve [...]     an echo server, until SIGINT or SIGTERM

Options of serve:
  --port N                  port to listen on, 0 for any free one (default: 7007)
  --host A                  IPv4 address to listen on (default: 127.0.0.1, which is this machine only)
  --max-connections N       connections served at once; more are turned away (default: no limit)
  --idle-timeout S          seconds after which a silent connection is closed (default: 0, never)
  --json                    print what happens as JSON, one object a line

Others:
  -h, --help                print this
  -v, --version             print the version
`

const OPTIONS = {
  port: { type: 'string' },
  host: { type: 'string' },
  'max-connections': { type: 'string' },
  'idle-timeout': { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' },
} as const

/** What the arguments ask for. Throws a `UsageError` if that is nothing this command does. */
export function readArguments(args: string[]): ServeArguments | 'node' | 'help' | 'version' {
  const { values, positionals } = parse(args)
  const { help, version: wantsVersion, ...options } = values
  if (help) return 'help'
  if (wantsVersion) return 'version'
  const [command, extra] = positionals
  if (extra !== undefined) throw new UsageError(`expected one command at most, got also ${JSON.stringify(extra)}`)
  if (command === 'serve') return options
  if (command !== undefined) throw new UsageError(`expected the command serve, got ${JSON.stringify(command)}`)
  const [stray] = Object.keys(options)
  if (stray !== undefined) throw new UsageError(`--${stray} goes with the command serve: echo-node serve --${stray} …`)
  return 'node'
}

function parse(args: string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>> {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true })
  } catch (error) {
    // Only the first sentence: the rest is about syntax that this command has no use for.
    throw new UsageError((error as Error).message.split(/\.?\s*\n|\. /, 1)[0])
  }
}

/** The version of the package this file belongs to. */
export function version(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}
