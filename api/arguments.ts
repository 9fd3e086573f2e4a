/** Checks that all options share. */

import { invalidType, outOfRange } from './errors.ts'

/** An object, for its members to be checked. */
export function object(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw invalidType(name, 'an object', value)
  return value as Record<string, unknown>
}

/** A member that is an integer, or its default. */
export function option(
  parent: string,
  given: Record<string, unknown>,
  name: string,
  byDefault: number,
  min: number,
  max: number,
): number {
  const { [name]: value } = given
  return value === undefined ? byDefault : integer(`${parent}.${name}`, value, min, max)
}

/** An integer in a range. */
export function integer(name: string, value: unknown, min: number, max: number): number {
  const expected = `an integer from ${min} to ${max}`
  if (typeof value !== 'number') throw invalidType(name, expected, value)
  if (!Number.isInteger(value) || value < min || value > max) throw outOfRange(name, expected, value)
  return value
}
