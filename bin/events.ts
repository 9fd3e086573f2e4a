import type { Connection, Disconnect, DisconnectReason, EchoServer, Peer } from '../index.ts'
import { formatBytes, formatDuration } from './format.ts'
import { Log } from './process.ts'

const ENDINGS: Readonly<Record<DisconnectReason, string>> = {
  end: 'ended by the client',
  reset: 'reset by the client',
  idle: 'closed because it was idle',
  stop: 'closed because the server stops',
  closed: 'closed',
  error: 'failed',
}

/** Prints a line for each connection of a server, and for its end. */
export function printLines(server: EchoServer, clearLine: string): Log {
  const log = new Log((leftOut) => `${leftOut} more lines, left out because nobody read them`)
  const print = (line: string): void => log.write(clearLine + line)
  server.on('connection', (connection) => print(`${name(connection)} connected`))
  server.on('disconnect', (disconnect) => print(`${name(disconnect)} ${describeEnd(disconnect)}`))
  server.on('drop', ({ remoteAddress, remotePort }) => print(`${remoteAddress}:${remotePort} rejected`))
  server.on('missed', (count) => print(`${count} more connections, left out because too many came at once`))
  return log
}

function name({ id, remoteAddress, remotePort }: Peer & { id: number }): string {
  return `#${id} ${remoteAddress}:${remotePort}`
}

function describeEnd({ reason, code, bytes, duration }: Disconnect): string {
  const why = code === undefined ? ENDINGS[reason] : `${ENDINGS[reason]} (${code})`
  return `${why}, ${formatBytes(bytes)} echoed in ${formatDuration(duration)}`
}

/** Prints the events of a server as JSON, one object per line. */
export function printEvents(server: EchoServer): Log {
  const log = new Log((leftOut) => JSON.stringify({ event: 'omitted', lines: leftOut }))
  const print = (event: string, members: object): void => log.write(JSON.stringify({ event, ...members }))
  server.on('connection', ({ id, remoteAddress, remotePort }: Connection) =>
    print('connection', { id, remoteAddress, remotePort }),
  )
  server.on('disconnect', (disconnect) => print('disconnect', disconnect))
  server.on('drop', (peer) => print('drop', peer))
  server.on('missed', (count) => print('missed', { count }))
  return log
}
