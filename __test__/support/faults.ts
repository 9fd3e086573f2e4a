// Which faults to inject: all of them in the soak, each errno once in the ordinary suite.

import type { Fault } from './fault-scene.ts'
import { SOAK } from './size.ts'

/** The first call, the second, and a later one. */
const WHEN = ['1', '2', '5']

/** Each of the errnos at the first, the second and a later call; in the ordinary suite each at one of them in turn. */
export function faults(syscall: string, errnos: string, when = WHEN): Fault[] {
  return errnos
    .split(' ')
    .flatMap((errno, turn) =>
      when.filter((_, index) => SOAK || index === turn % when.length).map((at) => ({ syscall, errno, when: at })),
    )
}
