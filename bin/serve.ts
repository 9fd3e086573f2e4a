import { EchoServer, type Stats, type SystemError } from '../index.ts'
import { duration, number, UsageError, type ServeArguments } from './arguments.ts'
import { printEvents, printLines } from './events.ts'
import { formatBytes } from './format.ts'
import { onStopSignal, output, print, type Log } from './process.ts'

const DEFAULT_PORT = 7007
const LIVE_INTERVAL = 1000
/** Columns that the live line leaves free: for the ^C that ends it, and one because a terminal may wrap a line that fills it. */
const FREE_COLUMNS = 3
const CLEAR_LINE = '\r\u001b[K'

/** Runs an echo server until a signal stops it. Then it prints the totals. */
export async function serve(args: ServeArguments): Promise<void> {
  const server = new EchoServer()
  const closed = new Promise<Error | undefined>((resolve) => server.once('close', resolve))
  onStopSignal(() => void server.stop())
  const isLive = !args.json && process.stdout.isTTY && process.env['TERM'] !== 'dumb'
  const log = logEvents(server, args, isLive)
  listen(server, args)
  const hideLive = isLive ? showLive(server) : () => {}
  const failure = await closed
  hideLive()
  log?.flush()
  if (failure !== undefined && args.json) printJson({ event: 'failed', error: failure.message })
  if (failure !== undefined) throw failure
  if (args.json) printJson({ event: 'stopped', ...server.stats() })
  else print(`${totals(server.stats())}\n`)
}

/** Before the server listens, so that no connection is left out. */
function logEvents(server: EchoServer, { json, verbose }: ServeArguments, isLive: boolean): Log | undefined {
  if (json) return printEvents(server)
  return verbose ? printLines(server, isLive ? CLEAR_LINE : '') : undefined
}

function listen(server: EchoServer, args: ServeArguments): void {
  // PORT is what platforms that run containers set. Empty it is as good as not set.
  const [portName, given] = args.port === undefined ? ['PORT', process.env['PORT'] || undefined] : ['--port', args.port]
  const port = number(portName, given) ?? DEFAULT_PORT
  const options = {
    host: args.host,
    maxConnections: number('--max-connections', args['max-connections']),
    idleTimeout: duration('--idle-timeout', args['idle-timeout']),
    threads: number('--threads', args.threads),
  }
  try {
    server.start(port, options)
  } catch (error) {
    throw explained(error as SystemError, portName)
  }
  if (args.json) printJson({ event: 'listening', host: server.host, port: server.port })
  else print(`echo-node listening on ${server.host}:${server.port} (to end it: Ctrl-C, or kill ${process.pid})\n`)
}

/** An error of the API in the words of the command. */
function explained(error: SystemError, portName: string): Error {
  const { code, address, port, message } = error
  if (code.startsWith('ERR_')) {
    return new UsageError(message.replace(/^port/, portName).replace(/^options\.(\w+)/, optionName))
  }
  if (code === 'EADDRINUSE') return new Error(`port ${port} of ${address} is already in use`)
  if (code === 'EACCES') return new Error(`listening on port ${port} of ${address} is not permitted`)
  if (code === 'EADDRNOTAVAIL') return new Error(`${address} is not an address of this machine`)
  return error
}

/** `--max-connections` for `options.maxConnections`. */
function optionName(_: string, name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** Shows what happens in one line that is always the last one. Returns what ends that. */
function showLive(server: EchoServer): () => void {
  let before = server.stats()
  const timer = setInterval(() => {
    const now = server.stats()
    const width = Math.max(0, (process.stdout.columns || 80) - FREE_COLUMNS)
    // Not while the terminal takes no output: memory would grow with the lines.
    if (output.writableLength === 0) print(CLEAR_LINE + liveLine(before, now).slice(0, width))
    before = now
  }, LIVE_INTERVAL)
  return () => {
    clearInterval(timer)
    print(CLEAR_LINE)
  }
}

function liveLine(before: Stats, now: Stats): string {
  const rate = formatBytes(now.totalBytes - before.totalBytes)
  return `${now.activeConnections} connected, ${rate}/s; in all ${totals(now)}`
}

function totals({ totalConnections, totalBytes, rejectedConnections }: Stats): string {
  const rejected = rejectedConnections === 0 ? '' : `, ${rejectedConnections} rejected`
  return `${totalConnections} ${totalConnections === 1 ? 'connection' : 'connections'}, ${formatBytes(totalBytes)} echoed${rejected}`
}

function printJson(event: Record<string, unknown>): void {
  print(`${JSON.stringify(event)}\n`)
}
