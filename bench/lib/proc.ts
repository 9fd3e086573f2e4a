// What the kernel tells about a process.
import { readFileSync, readdirSync } from 'node:fs'

/** Seconds of CPU that all threads of a process have used, user and system together. */
export function cpuSeconds(pid: number): number {
  return threads(pid).reduce((sum, thread) => sum + threadSeconds(`/proc/${pid}/task/${thread}`), 0)
}

/**
 * The scheduler's own account in nanoseconds, which utime + stime round to 10 ms. A kernel built without it leaves only
 * those.
 */
function threadSeconds(path: string): number {
  try {
    return Number(readFileSync(`${path}/schedstat`, 'latin1').split(' ')[0]) / 1e9
  } catch {
    // Fields 14 and 15; the second, the name, may contain spaces.
    const fields = readFileSync(`${path}/stat`, 'latin1').split(') ')[1]!.split(' ')
    return (Number(fields[11]) + Number(fields[12])) / 100
  }
}

/** The ids of a process's threads. */
export function threads(pid: number): string[] {
  return readdirSync(`/proc/${pid}/task`)
}

/** The ids of a process's threads of this name. */
export function threadsNamed(pid: number, name: string): string[] {
  return threads(pid).filter((thread) => readFileSync(`/proc/${pid}/task/${thread}/comm`, 'latin1').trim() === name)
}

/** Bytes of memory that a process holds and no file backs: heaps and stacks. */
export function anonymousBytes(pid: number): number {
  const match = /^RssAnon:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))
  return Number(match?.[1]) * 1024
}
