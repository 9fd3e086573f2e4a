import { EchoServer, type Stats } from '../index.ts'
import { UsageError, type ServeArguments } from './arguments.ts'
import { onEndSignal } from './process.ts'

const DEFAULT_PORT = 7007
const LIVE_INTERVAL = 1000
const CLEAR_LINE = '\r\u001b[K'

/** Runs an echo server until a signal ends it: drains it, then prints the totals. */
export async function serve(args: ServeArguments): Promise<void> {
  const server = new EchoServer()
  const ended = new Promise<void>((resolve) => onEndSignal(resolve))
  // Whoever read the output may go; the server stays.
  process.stdout.on('error', () => {})
  listen(server, args)
  const live = args.json || !process.stdout.isTTY ? undefined : showLive(server)
  await ended
  clearInterval(live)
  await server.stop()
  const stats = server.stats()
  if (args.json) printJson({ event: 'stopped', ...stats })
  else process.stdout.write(`${live === undefined ? '' : CLEAR_LINE}${totals(stats)}\n`)
}

function listen(server: EchoServer, args: ServeArguments): void {
  const { host = '127.0.0.1' } = args
  const port = number(args, 'port') ?? DEFAULT_PORT
  const maxConnections = number(args, 'max-connections')
  const idleSeconds = number(args, 'idle-timeout')
  try {
    server.start(port, {
      host,
      ...(maxConnections !== undefined && { maxConnections }),
      ...(idleSeconds !== undefined && { idleTimeout: Math.round(idleSeconds * 1000) }),
    })
  } catch (error) {
    throw explain(error as NodeJS.ErrnoException, host, port)
  }
  if (args.json) printJson({ event: 'listening', host: server.host, port: server.port })
  else process.stdout.write(`echo-node listening on ${server.host}:${server.port}\n`)
}

function number(args: ServeArguments, name: 'port' | 'max-connections' | 'idle-timeout'): number | undefined {
  const text = args[name]
  if (text === undefined) return undefined
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  throw new UsageError(`--${name} must be a number, got ${JSON.stringify(text)}`)
}

/** The API's error in the words of the command. */
function explain(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code?.startsWith('ERR_')) return new UsageError(error.message.replace(/^(options\.)?(\w+)/, optionName))
  if (error.code === 'EADDRINUSE') return new Error(`port ${port} of ${host} is already in use`)
  if (error.code === 'EACCES') return new Error(`listening on port ${port} of ${host} is not permitted`)
  if (error.code === 'EADDRNOTAVAIL') return new Error(`${host} is not an address of this machine`)
  return error
}

/** `--max-connections` for `options.maxConnections`. */
function optionName(_: string, __: string, name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function showLive(server: EchoServer): NodeJS.Timeout {
  let before = server.stats()
  return setInterval(() => {
    const now = server.stats()
    process.stdout.write(CLEAR_LINE + liveLine(before, now))
    before = now
  }, LIVE_INTERVAL)
}

function liveLine(before: Stats, now: Stats): string {
  const rate = formatBytes(now.totalBytes - before.totalBytes)
  return `${now.activeConnections} connected, ${rate}/s; in all ${totals(now)}`
}

function totals({ totalConnections, totalBytes, rejectedConnections }: Stats): string {
  const rejected = rejectedConnections === 0 ? '' : `, ${rejectedConnections} turned away`
  return `${totalConnections} ${totalConnections === 1 ? 'connection' : 'connections'}, ${formatBytes(totalBytes)} echoed${rejected}`
}

function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  const value = bytes / 1024 ** step
  return `${step === 0 ? value : value.toFixed(1)} ${units[step]}`
}

function printJson(event: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}
