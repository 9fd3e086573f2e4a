// What the kernel tells about a process.

import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

type Pid = number | 'self'

/** How many descriptors a process has open. */
export function descriptors(pid: Pid = 'self'): number {
  return readdirSync(`/proc/${pid}/fd`).length - (pid === 'self' ? 1 : 0)
}

/** What each of a process's descriptors refers to, such as `socket:[4711]`. */
export function descriptorTargets(pid: Pid): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)]
    } catch {
      // The directory's own descriptor is gone by now.
      return []
    }
  })
}

/** The ids of a process's threads with this name; of all without one. */
export function threads(pid: Pid = 'self', name?: string): number[] {
  const ids = readdirSync(`/proc/${pid}/task`).map(Number)
  return name === undefined ? ids : ids.filter((id) => threadName(pid, id) === name)
}

function threadName(pid: Pid, id: number): string {
  try {
    return readFileSync(`/proc/${pid}/task/${id}/comm`, 'latin1').trim()
  } catch {
    // It has ended since the directory was read.
    return ''
  }
}

/** Milliseconds of CPU that a thread has used: the scheduler's own account, which utime + stime round to 10 ms. */
export function cpuTime(thread: number, pid: Pid = 'self'): number {
  return Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0]) / 1e6
}

/** The part of a core, in percent, that a thread uses over a window of this many milliseconds. */
export async function cpuUse(thread: number, pid: Pid = 'self', window = 100): Promise<number> {
  const [cpu, wall] = [cpuTime(thread, pid), performance.now()]
  await sleep(window)
  return (100 * (cpuTime(thread, pid) - cpu)) / (performance.now() - wall)
}

/** Bytes of memory that a process holds and no file backs: heaps and stacks. */
export function anonymousBytes(pid: Pid): number {
  const match = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(match?.[1]) * 1024
}

/** Bytes of memory that the kernel holds in the buffers of TCP sockets, of the whole machine. */
export function tcpMemory(): number {
  const match = /^TCP:.* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'latin1'))
  return Number(match?.[1]) * 4096
}
