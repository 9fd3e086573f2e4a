// What the kernel tells about a process.

import { existsSync, readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

type Pid = number | 'self'

/** The descriptors of this process that several epoll instances wait for: the lines `tfd` of proc(5). */
export function polledTwice(): string[] {
  const lists = readdirSync('/proc/self/fdinfo').map((name) => {
    const path = `/proc/self/fdinfo/${name}`
    return existsSync(path) ? readFileSync(path, 'latin1').matchAll(/^tfd:\s*(\d+)/gm) : []
  })
  const polled = lists.flatMap((list) => [...list].map(([, descriptor]) => descriptor!))
  return polled.filter((descriptor, index) => polled.indexOf(descriptor) < index)
}

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

/** What a process does: the letter of proc(5), such as `R` (running), `T` (stopped) or `Z` (ended). */
export function state(pid: number): string {
  return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]![0]!
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

/** Milliseconds of CPU that a thread has used, user and system together. */
export function cpuTime(thread: number, pid: Pid = 'self'): number {
  const path = `/proc/${pid}/task/${thread}`
  try {
    // The scheduler's own account in nanoseconds.
    return Number(readFileSync(`${path}/schedstat`, 'latin1').split(' ')[0]) / 1e6
  } catch {
    // A kernel without it has only utime and stime, fields 14 and 15, in units of 10 ms. Field 2, the name, may contain
    // spaces.
    const fields = readFileSync(`${path}/stat`, 'latin1').split(') ')[1]!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) * 10
  }
}

/** Milliseconds of CPU that all threads of a process have used. */
export function processCpuTime(pid: Pid): number {
  return threads(pid).reduce((sum, thread) => sum + cpuTime(thread, pid), 0)
}

/** How often a thread has called read(2), write(2) and their kind: `syscr` and `syscw` of proc(5). */
export function readsAndWrites(pid: Pid, thread: number): number {
  const counts = readFileSync(`/proc/${pid}/task/${thread}/io`, 'latin1').matchAll(/^sysc[rw]: (\d+)$/gm)
  return [...counts].reduce((sum, [, count]) => sum + Number(count), 0)
}

/** The part of a core, in percent, that a thread uses over a window of this many milliseconds. */
export async function cpuUse(thread: number, pid: Pid = 'self', window = 100): Promise<number> {
  const [cpu, wall] = [cpuTime(thread, pid), performance.now()]
  await sleep(window)
  return (100 * (cpuTime(thread, pid) - cpu)) / (performance.now() - wall)
}

/** Bytes of memory that a process holds and no file backs: heaps and stacks. */
export function anonymousBytes(pid: Pid): number {
  return statusBytes(pid, 'RssAnon')
}

/** The most bytes of memory that a process ever had resident. */
export function peakBytes(pid: Pid): number {
  return statusBytes(pid, 'VmHWM')
}

function statusBytes(pid: Pid, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(match?.[1]) * 1024
}

/** Bytes of memory that the kernel holds in the buffers of TCP sockets, of the whole machine. */
export function tcpMemory(): number {
  const match = /^TCP:.* mem (\d+)$/m.exec(readFileSync('/proc/net/sockstat', 'latin1'))
  return Number(match?.[1]) * 4096
}
