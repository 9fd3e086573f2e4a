/** The client of this environment, which sends to any server. Its thread runs while there are sends, and a little longer. */

import { lookup } from 'node:dns'
import { isIPv4 } from 'node:net'
import { constants } from 'node:os'

import { startClient, type NativeClient, type NativeTimes } from './binding.ts'
import { codedError, systemError, type Address } from './errors.ts'
import { payload } from './options.ts'
import { Sends } from './sends.ts'
import { clearInterval, Deadline, setInterval } from './timers.ts'

/** How long its thread stays without sends, in milliseconds. */
const IDLE = 5000

const sends = new Sends(updateKeepAlive)
let client: NativeClient | undefined
/** Ends the client when it is idle. Keeps the process alive while it is not. */
let timer: NodeJS.Timeout | undefined

/** Sends data to a server, and returns what came back. */
export function send(
  data: unknown,
  { host, port }: Address,
  times: NativeTimes,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const to = { host, port }
  const begin = (id: number): Address => {
    const bytes = payload(data)
    client ??= start(to)
    // Copied by a call that does not ask a subclass for its length.
    if (isIPv4(host)) client.send(id, host, port, bytes, times)
    else resolveAndSend(id, to, new Uint8Array(bytes), times)
    return to
  }
  return sends.carryOut(signal, begin, (id) => client?.cancel(id))
}

/** Its time begins now. When the name is resolved, `to` and the errors say the address. */
function resolveAndSend(id: number, to: Address, bytes: Uint8Array, { timeout, halfCloseAfter }: NativeTimes): void {
  const late = { errno: -constants.errno.ETIMEDOUT, syscall: 'getaddrinfo' }
  const deadline = new Deadline(timeout, () => sends.reject(id, systemError(late, to)))
  lookup(to.host, { family: 4 }, (error, ip) => {
    const left = deadline.rest()
    if (!sends.has(id)) return
    if (error) return sends.reject(id, error)
    to.host = ip
    client!.send(id, ip, to.port, bytes, { timeout: left, halfCloseAfter })
  })
}

function start(to: Address): NativeClient {
  const native = startClient(({ settled, hasEnded, failure }) => {
    sends.settle(settled)
    if (hasEnded && native === client) stop(failure)
  })
  if ('errno' in native) throw systemError(native, to)
  timer = setInterval(() => sends.areUnderWay || stop(), IDLE)
  return native
}

function stop(failure?: string): void {
  clearInterval(timer)
  client!.release()
  client = undefined
  sends.rejectAll(() => codedError('ERR_CLIENT_FAILED', `the client failed: ${failure}`))
}

function updateKeepAlive(): void {
  if (sends.areUnderWay) timer?.ref()
  else timer?.refresh().unref()
}
