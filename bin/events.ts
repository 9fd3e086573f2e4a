import type { Disconnect, DisconnectReason, EchoServer, Peer } from '../index.ts'
import { formatBytes, formatDuration } from './format.ts'
import { LineWriter } from './line-writer.ts'
import type { LiveLine } from './live-line.ts'

const ENDINGS: Readonly<Record<DisconnectReason, string>> = {
  end: 'ended by the client',
  reset: 'reset by the client',
  idle: 'closed because it was idle',
  stop: 'closed because the server stops',
  closed: 'closed',
  fault: 'cut by a fault',
  error: 'failed',
}

/** Prints a line for each connection of a server, and for its end. */
export function printLines(server: EchoServer, live?: LiveLine): LineWriter {
  const frame = live && ((lines: string): string => live.above(lines))
  const writer = new LineWriter((count) => `${count} more lines, left out because nobody read them`, frame)
  server.on('connection', (connection) => writer.write(`${name(connection)} connected`))
  server.on('disconnect', (disconnect) => writer.write(`${name(disconnect)} ${describeEnd(disconnect)}`))
  server.on('drop', ({ remoteAddress, remotePort }) => writer.write(`${remoteAddress}:${remotePort} rejected`))
  server.on('missed', (count) => writer.write(`${count} more connections, left out because too many came at once`))
  return writer
}

/** Prints the events of a server as JSON, one object per line. */
export function printEvents(server: EchoServer): LineWriter {
  const print = (event: string, members: object): void => writer.write(JSON.stringify({ event, ...members }))
  const writer = new LineWriter((lines) => JSON.stringify({ event: 'omitted', lines }))
  for (const event of ['connection', 'disconnect', 'drop'] as const) {
    server.on(event, (members: object) => print(event, members))
  }
  server.on('missed', (count) => print('missed', { count }))
  return writer
}

function name({ id, remoteAddress, remotePort }: Peer & { id: number }): string {
  return `#${id} ${remoteAddress}:${remotePort}`
}

function describeEnd({ reason, code, bytes, duration }: Disconnect): string {
  const why = code === undefined ? ENDINGS[reason] : `${ENDINGS[reason]} (${code})`
  return `${why}, ${formatBytes(bytes)} echoed in ${formatDuration(duration)}`
}
