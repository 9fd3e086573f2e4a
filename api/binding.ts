/** The addon, or one sentence that says why there is none and what to do. */

import { createRequire } from 'node:module'

import type * as Binding from '#binding'

import { codedError } from './errors.ts'
import { nodeTooOld } from './node-version.ts'

export type { Settled } from '#binding'

/** Node.js's names for the processors a binary is published for, on Linux. */
const PROCESSORS = ['x64', 'arm64']

/** The class behind every server. */
export const { NativeServer } = load()

// By `require`, which can fail and be explained; an `import` that fails ends the process with the loader's own words.
function load(): typeof Binding {
  try {
    return createRequire(import.meta.url)('#binding') as typeof Binding
  } catch (error) {
    const found = damaged(error)
    throw Object.assign(codedError('ERR_BINDING_NOT_LOADED', reason(found)), found && { cause: found })
  }
}

function reason(found: Error | undefined): string {
  const { platform, arch } = process
  if (platform !== 'linux' || !PROCESSORS.includes(arch)) {
    return `there is no echo-node for ${platform} ${arch}: use it on Linux, on ${PROCESSORS.join(' or ')}`
  }
  const tooOld = nodeTooOld()
  if (tooOld !== undefined) return tooOld
  return found
    ? `the binary of echo-node cannot be loaded (${found.message.trim()}): install echo-node again on this machine`
    : 'the binary of echo-node is missing: install echo-node again on this machine, with its optional dependencies'
}

/** The loader tries several files, and chains what it met. One that is there but cannot be loaded says most. */
function damaged(error: unknown): Error | undefined {
  for (let met = error; met instanceof Error; met = met.cause) {
    if ('code' in met && met.code === 'ERR_DLOPEN_FAILED') return met
  }
  return undefined
}
