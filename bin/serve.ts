import { EchoServer, type Faults, type SystemError } from '../index.ts'
import { duration, durations, number, UsageError, type ServeArguments } from './arguments.ts'
import { printEvents, printLines } from './events.ts'
import { formatTotals } from './format.ts'
import type { LineWriter } from './line-writer.ts'
import { LiveLine } from './live-line.ts'
import { giveUpUnread, onStopSignal, print } from './process.ts'

const DEFAULT_PORT = 7007

/** Runs an echo server until a signal stops it. Then it prints the totals. */
export async function serve(args: ServeArguments): Promise<void> {
  giveUpUnread()
  const server = new EchoServer()
  const closed = new Promise<Error | undefined>((resolve) => server.once('close', resolve))
  onStopSignal(() => void server.stop())
  const isLive = !args.json && process.stdout.isTTY && process.env['TERM'] !== 'dumb'
  const live = isLive ? new LiveLine() : undefined
  const log = logEvents(server, args, live)
  listen(server, args)
  live?.start(server)
  const failure = await closed
  live?.end()
  log?.flush()
  if (failure !== undefined && args.json) printJson({ event: 'failed', error: failure.message })
  if (failure !== undefined) throw failure
  if (args.json) printJson({ event: 'stopped', ...server.stats() })
  else print(`${formatTotals(server.stats())}\n`)
}

/** Before the server listens, so that no connection is left out. */
function logEvents(server: EchoServer, { json, verbose }: ServeArguments, live?: LiveLine): LineWriter | undefined {
  if (json) return printEvents(server)
  return verbose ? printLines(server, live) : undefined
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
    faults: faults(args),
  }
  try {
    server.start(port, options)
  } catch (error) {
    const failure = explained(error as SystemError, portName)
    if (args.json && !(failure instanceof UsageError)) printJson({ event: 'failed', error: failure.message })
    throw failure
  }
  if (args.json) printJson({ event: 'listening', host: server.host, port: server.port })
  else print(`echo-node listening on ${server.host}:${server.port} (to end it: Ctrl-C, or kill ${process.pid})\n`)
}

function faults(args: ServeArguments): Faults {
  return {
    delay: durations('--delay', args.delay),
    rate: number('--rate', args.rate),
    chunk: number('--chunk', args.chunk),
    resetAfter: number('--reset-after', args['reset-after']),
    endAfter: number('--end-after', args['end-after']),
    stallAfter: number('--stall-after', args['stall-after']),
    share: number('--share', args.share),
    seed: number('--seed', args.seed),
  }
}

/** An error of the API in the words of the command. */
function explained(error: SystemError, portName: string): Error {
  const { code, address, port, message } = error
  if (code.startsWith('ERR_')) {
    return new UsageError(message.replace(/^port/, portName).replace(/\boptions\.(?:faults\.)?(\w+)/g, optionName))
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

function printJson(event: Record<string, unknown>): void {
  print(`${JSON.stringify(event)}\n`)
}
