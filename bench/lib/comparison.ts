// A step that compares two servers under the same load.

import { Child, type Command } from '../../support/children.ts'
import type { Load } from './loadgen.ts'
import { duel, type Sample } from './measure.ts'
import { compared, type Limit, type Step } from './outcome.ts'
import type { Spec } from './servers.ts'

/** What is compared. */
export interface Quantity {
  name: string
  unit: string
  of: (sample: Sample) => number
  limit?: Limit | undefined
}

/** A step: a line of the table per quantity. */
export interface Comparison {
  what: string
  /** The first is this package's */
  sides: [Spec, Spec]
  load: Load
  quantities: Quantity[]
  /** Whether the difference counts instead of the ratio */
  difference?: boolean
  rounds?: number
  /** A program that runs meanwhile */
  beside?: Command | undefined
}

/** The step that carries it out. */
export function comparison({ what, sides, load, quantities, difference, rounds, beside }: Comparison): Step {
  const names = sides.map(({ name }) => name)
  const against = names[1]!
  return {
    name: `${what}, against ${against}`,
    needs: sides.map(({ needs }) => needs),
    async run() {
      const other = beside && new Child(beside)
      try {
        const { samples, voided } = await duel(sides, load, rounds)
        const outcomes = quantities.map(({ name, unit, of, limit }) => ({
          what: quantities.length === 1 ? what : `${what}: ${name}`,
          against,
          limit,
          voided,
          ...compared(
            samples.map((round) => round.map(of)),
            names,
            unit,
            difference,
          ),
        }))
        return { outcomes }
      } finally {
        await other?.kill()
      }
    },
  }
}
