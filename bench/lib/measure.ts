// Several servers under the same load, in turn.

import { processCpuTime } from '../../support/proc.ts'
import { apply, type Load, type Report } from './loadgen.ts'
import { effort } from './options.ts'
import { serve, type Spec } from './servers.ts'

/** One server's share of a round. */
export interface Sample extends Report {
  /** Microseconds of CPU that the server spent per message */
  cpu: number
}

/** What the rounds gave. */
export interface Rounds<T> {
  /** For each complete round one sample of each subject, in the order of the subjects */
  samples: T[][]
  /** Rounds in which a sample was void */
  voided: number
}

/**
 * Takes a sample of each subject per round, in the order A B B A, so that whatever slows the machine down for a while
 * strikes both sides alike. A round with a void sample is void as a whole and is made up for, but no more rounds may be
 * void than are asked for.
 */
export async function interleave<S, T>(
  subjects: readonly S[],
  rounds: number,
  sample: (subject: S) => Promise<T | undefined>,
): Promise<Rounds<T>> {
  const samples: T[][] = []
  let voided = 0
  for (let turn = 0; samples.length < rounds && voided < rounds; turn++) {
    const order = turn % 2 === 0 ? subjects : subjects.toReversed()
    const round: (T | undefined)[] = []
    for (const subject of order) round.push(await sample(subject))
    if (turn % 2 !== 0) round.reverse()
    if (round.includes(undefined)) voided += 1
    else samples.push(round as T[])
  }
  return { samples, voided }
}

/** Measures servers in turn. */
export async function duel(specs: readonly Spec[], load: Load, rounds = effort.rounds): Promise<Rounds<Sample>> {
  return await interleave(specs, rounds, (spec) => measure(spec, load))
}

/** Takes a sample of a new process: some cost a tenth more than others of the same program, for as long as they live. */
async function measure(spec: Spec, load: Load): Promise<Sample | undefined> {
  await using server = await serve(spec)
  await apply(load, server.port, effort.warmUp)
  const before = processCpuTime(server.child.pid)
  const report = await apply(load, server.port, effort.seconds)
  const used = processCpuTime(server.child.pid) - before
  return report && report.messages > 0 ? { ...report, cpu: (used / report.messages) * 1000 } : undefined
}
