// Rounds in the order A B B A, so that whatever slows the machine down for a while strikes both sides alike.

/** What the rounds gave. */
export interface Rounds<T> {
  /** For each complete round one sample of each subject, in the order of the subjects */
  samples: T[][]
  /** Rounds in which a sample was void */
  voided: number
}

/**
 * Takes a sample of each subject a round, back and forth. A round with a void sample is void as a whole and is made up
 * for, but no more rounds may be void than are asked for.
 */
export async function interleave<S, T>(
  subjects: readonly S[],
  rounds: number,
  sample: (subject: S) => Promise<T | undefined>,
): Promise<Rounds<T>> {
  const samples: T[][] = []
  let voided = 0
  for (let turn = 0; samples.length < rounds && voided < rounds; turn++) {
    const order = subjects.map((subject, index) => ({ subject, index }))
    if (turn % 2 === 1) order.reverse()
    const round: T[] = []
    for (const { subject, index } of order) {
      const value = await sample(subject)
      if (value !== undefined) round[index] = value
    }
    if (Object.keys(round).length === subjects.length) samples.push(round)
    else voided += 1
  }
  return { samples, voided }
}
