// Random lives of a connection against a model of what must come back.
//
// The model: what the client has written comes back, byte for byte and in order, then the end, if the client ends its side
// and goes on reading. If it resets, what it has read by then is the beginning of what it has written. Whatever it does, the
// server lets go of the connection, and others are served.

import test from 'ava'
import * as fc from 'fast-check'

import { EchoServer } from 'echo-node'
import { Client } from './support/clients.ts'
import { descriptors } from '../support/proc.ts'
import { size } from './support/size.ts'
import { until } from '../support/wait.ts'

/** What a client can do. */
type Step =
  | { do: 'write'; bytes: number }
  | { do: 'pause' }
  | { do: 'resume' }
  /** Waits until so much of what is owed has come back: after it the server may owe nothing, or still much. */
  | { do: 'await'; part: number }
  /** Lets the server and the kernel run for a moment. */
  | { do: 'yield' }

/** How a life ends: in order after a FIN; by a RST; by a FIN and then a RST, while the rest is on its way. */
type End = 'fin' | 'reset' | 'fin, reset' | 'destroy'

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), bytes: fc.integer({ min: 1, max: 3000 }) }) },
  // Enough to fill the buffers of both sides while the client does not read.
  { weight: 2, arbitrary: fc.record({ do: fc.constant('write' as const), bytes: fc.integer({ min: 1e5, max: 3e6 }) }) },
  { weight: 2, arbitrary: fc.constant({ do: 'pause' as const }) },
  { weight: 2, arbitrary: fc.constant({ do: 'resume' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('await' as const), part: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'yield' as const }) },
)

const life = fc.record({
  steps: fc.array(step, { maxLength: 12 }),
  end: fc.constantFrom<End>('fin', 'fin', 'reset', 'fin, reset', 'destroy'),
})

type Life = typeof life extends fc.Arbitrary<infer T> ? T : never

/** Bytes that tell where in the stream they are. */
const PATTERN = Buffer.from(Array.from({ length: 65_537 }, (_, index) => (index * 31 + (index >> 8)) & 0xff))

function stream(from: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let done = 0; done < length;) {
    const at = (from + done) % PATTERN.length
    done += PATTERN.copy(bytes, done, at, Math.min(PATTERN.length, at + length - done))
  }
  return bytes
}

/** Lives it, and says how many bytes were written. */
async function live(client: Client, { steps, end }: Life): Promise<number> {
  let [written, paused] = [0, false]
  for (const action of steps) {
    if (action.do === 'write') {
      client.socket.write(stream(written, action.bytes))
      written += action.bytes
    } else if (action.do === 'await' && !paused) {
      const enough = client.bytes + Math.floor((written - client.bytes) * action.part)
      await until(`${enough} bytes are back`, () => client.bytes >= enough || client.closed)
    } else if (action.do === 'yield') await new Promise(setImmediate)
    else {
      paused = action.do === 'pause'
      client.socket[paused ? 'pause' : 'resume']()
    }
  }
  await conclude(client, end)
  return written
}

async function conclude(client: Client, end: End): Promise<void> {
  if (end === 'fin') return await client.close()
  if (end === 'fin, reset') {
    client.socket.end()
    await new Promise(setImmediate)
  }
  // libuv makes no RST while a FIN waits behind what is still to be written; the kernel does, if input is unread.
  if (end === 'destroy' || (client.socket.writableEnded && !client.socket.writableFinished)) client.socket.destroy()
  else client.reset()
  await until('the connection is gone', () => client.closed)
}

const RUNS = size(150, 5000)
const AT_ONCE = 8

/** A server that remembers which of its connections are open, how many are over, and how many bytes were echoed on those. */
class Observed {
  readonly server = new EchoServer()
  readonly open = new Map<number, number>()
  ends = 0
  bytes = 0
  /** What does not fit together. */
  readonly faults: string[] = []

  constructor(threads: number) {
    this.server.on('connection', ({ id, remotePort }) => this.open.set(id, remotePort))
    this.server.on('disconnect', ({ id, remotePort, bytes, reason }) => {
      if (this.open.get(id) !== remotePort) this.faults.push(`#${id} ends, and never began`)
      if (reason !== 'end' && reason !== 'reset') this.faults.push(`#${id} ended by ${reason}`)
      this.open.delete(id)
      this.ends++
      this.bytes += bytes
    })
    this.server.start(0, { threads })
  }
}

/** Lives one life on a connection of its own, and compares what came back with the model. */
async function check(port: number, one: Life): Promise<void> {
  const client = await Client.connect(port)
  const written = await live(client, one)
  const whole = stream(0, written)
  if (one.end !== 'fin') {
    if (!client.received.equals(whole.subarray(0, client.bytes))) throw new Error('other bytes came back')
    return
  }
  if (!client.received.equals(whole)) throw new Error(`${client.bytes} of ${written} bytes came back`)
  if (client.error) throw client.error
}

test.serial(`${RUNS} times ${AT_ONCE} random lives of connections are echoed as the model says`, async (t) => {
  // One with one I/O thread, and one with four.
  const all = [1, 4].map((threads) => new Observed(threads))
  t.teardown(() => Promise.all(all.map(({ server }) => server.stop({ timeout: 0 }))))
  const before = descriptors()
  const lives = fc.array(life, { minLength: 1, maxLength: AT_ONCE })
  const property = fc.asyncProperty(fc.constantFrom(...all), lives, async (observed, together) => {
    const { server } = observed
    await Promise.all(together.map((one) => check(server.port!, one)))
    await until('the server has let go of them', () => server.stats().activeConnections === 0)
    const { echoed } = await server.send('the next one')
    if (echoed !== 'the next one') throw new Error('the next one is not served')
    const { totalConnections, totalBytes } = server.stats()
    await until('all ends are told', () => observed.ends === totalConnections)
    if (observed.open.size > 0) observed.faults.push(`${observed.open.size} are open`)
    if (observed.bytes !== totalBytes) observed.faults.push(`${observed.bytes} bytes told of ${totalBytes}`)
    if (observed.faults.length > 0) throw new Error(observed.faults.join('; '))
  })
  await fc.assert(property, { numRuns: RUNS, ...(process.env['SEED'] && { seed: Number(process.env['SEED']) }) })
  await until('no descriptor is left', () => descriptors() <= before)
  await Promise.all(all.map(({ server }) => server.stop()))
  t.pass()
})

const STOPS = size(50, 1000)

// A stop is one more thing that can happen at any moment of a connection's life.
test.serial(`${STOPS} times a stop in the midst of random lives loses nothing that had arrived`, async (t) => {
  const arrived = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 30 })
  const property = fc.asyncProperty(arrived, fc.boolean(), fc.constantFrom(1, 3), async (sizes, halfClose, threads) => {
    const server = new EchoServer()
    const port = server.start(0, { threads })
    const clients = await Promise.all(sizes.map(() => Client.connect(port)))
    // What a socket takes at once is in the server's buffer when write returns: that is loopback.
    const flushed = sizes.map(
      (bytes, index) =>
        new Promise<void>((resolve) => {
          clients[index]!.socket.write(stream(index, bytes), () => resolve())
        }),
    )
    await Promise.all(flushed)
    if (halfClose) for (const { socket } of clients) socket.end()
    const stopped = server.stop({ timeout: 30_000 })
    await Promise.all(clients.map((client) => client.end()))
    for (const [index, client] of clients.entries()) {
      if (client.error) throw client.error
      const whole = stream(index, sizes[index]!)
      if (!client.received.equals(whole)) throw new Error(`${client.bytes} of ${whole.length} bytes`)
      await client.close()
    }
    await stopped
  })
  await fc.assert(property, { numRuns: STOPS })
  t.pass()
})
