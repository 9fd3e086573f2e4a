// `echo-node ping` against real servers, good and bad ones.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

import test, { type ExecutionContext } from 'ava'
import { EchoServer, type Faults } from 'echo-node'

import { Child, killAll } from '../support/children.ts'
import { EXECUTABLE } from '../support/paths.ts'
import { freePort } from '../support/ports.ts'
import { until } from '../support/wait.ts'
import { run, start } from './support/command.ts'
import { bound, withoutAnswer } from './support/namespace.ts'
import { atTerminal, needing } from './support/tools.ts'

test.after.always(killAll)

/** Event of `ping --json`. */
interface Event {
  event: string
  seq?: number
  word?: string
  [member: string]: unknown
}

/** The events of one round. */
async function pingOnce(port: number, args: string[] = [], host = '127.0.0.1') {
  const { code, stdout, stderr } = await run(['ping', `${host}:${port}`, '--count', '1', '--json', ...args])
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Event)
  return { code, stderr, round: events[0]!, summary: events[1]! }
}

/** Fails unless the round was lost in this way. */
async function loses(
  t: ExecutionContext,
  port: number,
  wanted: Record<string, unknown>,
  args: string[] = [],
  host = '127.0.0.1',
) {
  const { code, stderr, round, summary } = await pingOnce(port, args, host)
  t.like(round, { event: 'loss', seq: 1, ...wanted })
  t.deepEqual(summary, { event: 'summary', sent: 1, echoed: 0, lost: 1 })
  t.deepEqual([code, stderr], [1, ''])
}

/** The port of a server that does this with each connection. */
async function serving(t: ExecutionContext, onConnection: (socket: Socket) => void): Promise<number> {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    onConnection(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

function echoing(t: ExecutionContext, faults?: Faults): number {
  const server = new EchoServer()
  t.teardown(() => server.stop())
  return server.start(0, { faults })
}

/** Calls back with what the client has sent, when it has ended its side. */
function whole(socket: Socket, reply: (data: Buffer) => void): void {
  const parts: Buffer[] = []
  socket.on('data', (part: Buffer) => parts.push(part))
  socket.on('end', () => reply(Buffer.concat(parts)))
}

test.serial('every round is echoed: a line for each, a summary, exit code 0', async (t) => {
  const port = echoing(t)
  const { code, stdout, stderr } = await run(['ping', `127.0.0.1:${port}`, '--count', '3', '--interval', '0'])
  const time = String.raw`\d+(\.\d\d)? m?s\b`
  const line = (seq: number): string => `64 bytes from 127.0.0.1:${port}: seq=${seq} time=TIME\n`
  const head = `PING 127.0.0.1:${port}, 64 bytes\n`
  const end = `\n--- 127.0.0.1:${port} ---\n3 sent, 3 echoed, 0 lost\nmin TIME, median TIME, p99 TIME, max TIME\n`
  t.is(stdout.replaceAll(new RegExp(time, 'g'), 'TIME'), [head, line(1), line(2), line(3), end].join(''))
  t.deepEqual([code, stderr], [0, ''])
})

test.serial('--json prints an object for each round, and one at the end', async (t) => {
  const port = echoing(t)
  const { code, round, summary } = await pingOnce(port, ['--size', '100000'])
  t.like(round, { event: 'echo', seq: 1, remoteAddress: '127.0.0.1', size: 100_000, bytes: 100_000 })
  const { duration } = round as unknown as { duration: number }
  t.true(duration > 0)
  const { min, median, p99, max, ...counts } = summary as unknown as Record<string, number>
  t.deepEqual(counts, { event: 'summary', sent: 1, echoed: 1, lost: 0 } as object)
  t.deepEqual([min, median, p99, max], Array(4).fill(duration))
  t.is(code, 0)
})

test.serial('our side stays open for a server that is late', async (t) => {
  // As a proxy does that has its own limit for a connection whose client has ended.
  const port = await serving(t, (socket) => {
    socket.on('end', () => socket.destroy()).on('data', (data) => setTimeout(() => socket.write(data), 1000))
  })
  t.like(await pingOnce(port), { code: 0, round: { event: 'echo' } })
})

test.serial('the sizes 0 and 1 MiB', async (t) => {
  const port = echoing(t)
  for (const size of ['0', '1048576']) {
    t.like(await pingOnce(port, ['--size', size]), { code: 0, round: { bytes: Number(size) } })
  }
})

test.serial('--interval is the time from start to start, and no pause follows the last round', async (t) => {
  const port = echoing(t, { delay: 200 })
  const began = performance.now()
  t.is((await run(['ping', `127.0.0.1:${port}`, '--count', '3', '--interval', '300ms'])).code, 0)
  const took = performance.now() - began
  t.true(took >= 800, `${took} ms`)
  // Nor is a pause before a round that is late already.
  t.like(await run(['ping', `127.0.0.1:${port}`, '--count', '2', '--interval', '100']), { code: 0, stderr: '' })
  await pingOnce(port, ['--interval', '1000m'])
  t.true(performance.now() - began - took < 60_000)
})

test.serial('a name is resolved, and the address shown', async (t) => {
  const port = echoing(t)
  t.like(await pingOnce(port, [], 'localhost'), { code: 0, round: { remoteAddress: '127.0.0.1' } })
})

test.serial('REFUSED: nobody listens', async (t) => {
  await loses(t, await freePort(), { word: 'REFUSED', code: 'ECONNREFUSED', syscall: 'connect', bytes: 0 })
})

test.serial('TIMEOUT: the backlog is full', async (t) => {
  const listener = start(['serve', '--port', '0', '--json'])
  const { port } = await listener.json<{ port: number }>()
  listener.process.kill('SIGSTOP')
  const clients: Socket[] = []
  t.teardown(() => {
    for (const client of clients) client.destroy()
  })
  // Clients that are connected, until one is not.
  const waiting = (): number => clients.filter((client) => client.connecting).length
  while (waiting() === 0 && clients.length < 4096) {
    clients.push(...Array.from({ length: 64 }, () => connect(port, '127.0.0.1').on('error', () => {})))
    const end = performance.now() + 500
    await until('they are connected, or have to wait', () => waiting() === 0 || performance.now() > end)
  }
  t.true(waiting() > 0)
  await loses(t, port, { word: 'TIMEOUT', syscall: 'connect', bytes: 0 }, ['--timeout', '2s'])
})

test.serial('UNREACHABLE: no route', async (t) => {
  // connect(2): TCP has no multicast.
  await loses(t, 7, { word: 'UNREACHABLE', code: 'ENETUNREACH', syscall: 'connect' }, [], '224.0.0.1')
})

needing('strace')('UNREACHABLE and TIMEOUT: by every errno of connect that says so', async (t) => {
  const port = echoing(t)
  for (const [code, word] of [
    ['EHOSTUNREACH', 'UNREACHABLE'],
    ['EHOSTDOWN', 'UNREACHABLE'],
    ['ENETDOWN', 'UNREACHABLE'],
    ['ENONET', 'UNREACHABLE'],
    ['ETIMEDOUT', 'TIMEOUT'],
    ['EPERM', 'OTHER'],
  ]) {
    const failing = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `inject=connect:error=${code}`]
    const { stdout } = await run(['ping', `127.0.0.1:${port}`, '--count', '1', '--json'], '', failing)
    t.like(JSON.parse(stdout.split('\n', 1)[0]!), { event: 'loss', word, code, syscall: 'connect' })
  }
})

test.serial('RESET: at once, and after a part', async (t) => {
  const port = await serving(t, (socket) => socket.resetAndDestroy())
  await loses(t, port, { word: 'RESET', code: 'ECONNRESET', bytes: 0 }, ['--size', '1000000'])
  await loses(t, echoing(t, { resetAfter: 10 }), { word: 'RESET', syscall: 'read', bytes: 10 })
})

/** For servers that answer at the end of what they read: `ping` ends its side late. */
const QUICK = ['--timeout', '2s']

test.serial('MISMATCH: something else, half, double, nothing, and without end', async (t) => {
  const flipped = await serving(t, (socket) =>
    whole(socket, (data) => {
      data[5]! ^= 1
      socket.end(data)
    }),
  )
  await loses(t, flipped, { word: 'MISMATCH', offset: 5, bytes: 64 }, QUICK)
  const half = await serving(t, (socket) => whole(socket, (data) => socket.end(data.subarray(0, 32))))
  await loses(t, half, { word: 'MISMATCH', offset: 32, bytes: 32 }, QUICK)
  const double = await serving(t, (socket) => whole(socket, (data) => socket.end(Buffer.concat([data, data]))))
  await loses(t, double, { word: 'MISMATCH', offset: 64, bytes: 128 }, QUICK)
  const { stdout } = await run(['ping', `127.0.0.1:${double}`, '--count', '1', ...QUICK])
  t.regex(stdout, /: seq=1 MISMATCH at byte 64, 128 bytes for 64 came back in /)
  const nothing = await serving(t, (socket) => whole(socket, () => socket.end()))
  await loses(t, nothing, { word: 'MISMATCH', offset: 0, bytes: 0 }, QUICK)
  // Enough for more than what is taken, and for what the kernel holds.
  const flood = await serving(t, (socket) => socket.write(Buffer.alloc(64 << 20)))
  const { code, round } = await pingOnce(flood, ['--size', '1000'])
  const { word, offset, bytes } = round as unknown as { word: string; offset: number; bytes: number }
  t.is(word, 'MISMATCH')
  t.true(offset < 16)
  t.true(bytes > 16 << 20 && bytes < 18 << 20, `${bytes}`)
  t.is(code, 1)
})

test.serial('MISMATCH comes before a reset and a time-out', async (t) => {
  const reset = await serving(t, (socket) => {
    socket.once('data', () => socket.write(Buffer.alloc(1000), () => setTimeout(() => socket.resetAndDestroy(), 50)))
  })
  await loses(t, reset, { word: 'MISMATCH' })
  const endless = await serving(t, (socket) => whole(socket, (data) => socket.write(Buffer.concat([data, data]))))
  await loses(t, endless, { word: 'MISMATCH', offset: 64, bytes: 128 }, ['--timeout', '2s'])
})

const LATE = { word: 'TIMEOUT', code: 'ETIMEDOUT', syscall: 'read' }

test.serial('TIMEOUT: all, a part or nothing comes back, and no end', async (t) => {
  const all = await serving(t, (socket) => socket.pipe(socket, { end: false }))
  await loses(t, all, { ...LATE, bytes: 64 }, ['--timeout', '2s'])
  await loses(t, echoing(t, { stallAfter: 10 }), { ...LATE, bytes: 10 }, ['--timeout', '2s'])
  await loses(t, echoing(t, { delay: 60_000 }), { ...LATE, bytes: 0 }, ['--timeout', '2s'])
})

test.serial('DNS: a name that does not exist', async (t) => {
  await loses(t, 7, { word: 'DNS', code: 'ENOTFOUND', bytes: 0 }, [], 'nobody.invalid')
})

needing('unshare')('DNS: a name that has only an IPv6 address', async (t) => {
  const through = await bound(t, '/etc/hosts', '2001:db8::1 six.test\n127.0.0.1 localhost\n')
  const { code, stdout } = await run(['ping', 'six.test:7', '--count', '1', '--json'], '', through)
  t.like(JSON.parse(stdout.split('\n', 1)[0]!) as object, { event: 'loss', word: 'DNS', syscall: 'getaddrinfo' })
  t.is(code, 1)
})

needing('unshare')('DNS: no answer within the timeout', async (t) => {
  const through = await withoutAnswer(t, '127.0.0.53', 'timeout:30')
  const args = ['ping', 'any.test:7', '--count', '1', '--json', '--timeout', '300ms']
  const { code, stdout } = await run(args, '', through)
  t.like(JSON.parse(stdout.split('\n', 1)[0]!) as object, { word: 'DNS', code: 'ETIMEDOUT', syscall: 'getaddrinfo' })
  t.is(code, 1)
})

test.serial('OTHER: anything else, with the message', async (t) => {
  // connect(2): a broadcast address needs a permission that no TCP socket has.
  const { code, stdout } = await run(['ping', '255.255.255.255:7', '--count', '1'])
  t.regex(stdout, /^255\.255\.255\.255:7: seq=1 (OTHER after .*: connect|UNREACHABLE in connect)/m)
  t.is(code, 1)
})

/** The line of a round that is lost. */
async function shown(port: number, host = '127.0.0.1'): Promise<string> {
  const { stdout } = await run(['ping', `${host}:${port}`, '--count', '1', '--timeout', '2s'])
  return stdout
    .split('\n')[1]!
    .replace(/\d+(\.\d+)? m?s/, 'TIME')
    .replaceAll(`:${port}`, ':N')
}

test.serial('the lines of losses', async (t) => {
  t.is(await shown(await freePort()), '127.0.0.1:N: seq=1 REFUSED in connect after TIME, 0 of 64 bytes came back')
  t.is(
    await shown(echoing(t, { stallAfter: 10 })),
    '127.0.0.1:N: seq=1 TIMEOUT in read after TIME, 10 of 64 bytes came back',
  )
  t.is(
    await shown(echoing(t, { endAfter: 10 })),
    '127.0.0.1:N: seq=1 MISMATCH at byte 10, 10 of 64 bytes came back in TIME',
  )
  t.is(await shown(7, 'nobody.invalid'), 'nobody.invalid:N: seq=1 DNS after TIME: getaddrinfo ENOTFOUND nobody.invalid')
})

test.serial('without --count it goes on until a signal; a round that can end is not lost', async (t) => {
  const port = echoing(t, { delay: 100 })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    const child = start(['ping', `127.0.0.1:${port}`, '--interval', '0', '--json'])
    for (let seq = 1; seq <= 3; seq++) t.like(await child.json(), { event: 'echo', seq })
    const code = child.kill(signal)
    let last: Event
    do last = await child.json()
    while (last.event === 'echo')
    t.like(last, { event: 'summary', lost: 0 })
    t.is(await code, 0)
  }
})

test.serial('a signal in the pause ends it at once', async (t) => {
  const port = echoing(t)
  const child = start(['ping', `127.0.0.1:${port}`, '--interval', '1000m', '--json'])
  t.like(await child.json(), { event: 'echo' })
  const code = child.kill('SIGINT')
  t.like(await child.json(), { event: 'summary', sent: 1, echoed: 1, lost: 0 })
  t.is(await code, 0)
})

test.serial('a round that hangs when a signal comes is lost', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop())
  const connected = once(server, 'connection')
  const port = server.start(0, { faults: { stallAfter: 10 } })
  const child = start(['ping', `127.0.0.1:${port}`, '--timeout', '10m', '--json'])
  await connected
  const code = child.kill('SIGINT')
  t.like(await child.json(), { event: 'loss', word: 'OTHER', message: 'interrupted' })
  t.deepEqual(await child.json(), { event: 'summary', sent: 1, echoed: 0, lost: 1 })
  t.is(await code, 1)
})

test.serial('a round whose echo comes while the process is stopped is not lost', async (t) => {
  const server = new EchoServer()
  t.teardown(() => server.stop())
  const connected = once(server, 'connection')
  const ended = once(server, 'disconnect')
  const port = server.start(0, { faults: { delay: 200 } })
  const child = start(['ping', `127.0.0.1:${port}`, '--json'])
  await connected
  child.process.kill('SIGINT')
  child.process.kill('SIGSTOP')
  // Longer than a round under way may take after the signal. Its thread is stopped, too.
  await sleep(1000)
  child.process.kill('SIGCONT')
  await ended
  t.like(await child.json(), { event: 'echo', seq: 1 })
  t.like(await child.json(), { event: 'summary', sent: 1, echoed: 1 })
  t.is(await child.end(), 0)
})

test.serial('it ends when nobody reads its output any more', async (t) => {
  const port = echoing(t)
  const child = start(['ping', `127.0.0.1:${port}`, '--interval', '1'])
  await child.line()
  child.process.stdout.destroy()
  t.is(await child.end(), 0)
})

test.serial('a server that comes back is reached again', async (t) => {
  const port = await freePort()
  const child = start(['ping', `127.0.0.1:${port}`, '--interval', '20', '--json'])
  t.like(await child.json(), { event: 'loss', word: 'REFUSED' })
  const server = new EchoServer()
  t.teardown(() => server.stop())
  server.start(port)
  let event: Event
  do event = await child.json()
  while (event.event === 'loss')
  t.is(event.event, 'echo')
  const code = child.kill('SIGINT')
  t.is(await code, 1)
})

const SERVERS: [string, (port: number) => string[]][] = [
  ['ncat', (port) => ['ncat', '--listen', '--keep-open', '--exec', '/bin/cat', '127.0.0.1', `${port}`]],
  ['socat', (port) => ['socat', `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr,fork`, 'PIPE']],
]

for (const [name, command] of SERVERS) {
  needing(name)(`${name} echoes every round`, async (t) => {
    const port = await freePort()
    const server = new Child(command(port))
    await until('it listens', () => isListening(port))
    const { code, stdout } = await run(['ping', `127.0.0.1:${port}`, '--count', '50', '--interval', '0'])
    t.regex(stdout, /^50 sent, 50 echoed, 0 lost$/m)
    t.is(code, 0)
    server.process.kill('SIGKILL')
  })
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
}

test.serial('a server on node:net echoes every round', async (t) => {
  const port = await serving(t, (socket) => socket.pipe(socket))
  const { code, stdout } = await run([
    'ping',
    `127.0.0.1:${port}`,
    '--count',
    '50',
    '--interval',
    '0',
    '--size',
    '100000',
  ])
  t.regex(stdout, /^50 sent, 50 echoed, 0 lost$/m)
  t.is(code, 0)
})

needing('script')('a terminal: ^C ends it with the summary', async (t) => {
  const port = echoing(t)
  const terminal = new Child(atTerminal(`"${process.execPath}" "${EXECUTABLE}" ping 127.0.0.1:${port}`))
  t.regex(await terminal.line(), /^PING/)
  t.regex(await terminal.line(), /^64 bytes/)
  terminal.process.stdin.write('\u0003')
  t.regex(await terminal.line(), /^(\^C)?\s*$/)
  t.regex(await terminal.line(), /^---/)
  t.regex(await terminal.line(), /^1 sent, 1 echoed, 0 lost/)
  t.is(await terminal.end(), 0)
})
