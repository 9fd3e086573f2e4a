/** The addon, or one sentence that says why there is none and what to do. */

import { createRequire } from 'node:module'

import type * as Binding from '#binding'

import { defect } from './elf.ts'
import { codedError } from './errors.ts'
import { nodeTooOld } from './node-version.ts'

export type { Settled } from '#binding'

/** Node.js's names for the processors a binary is published for, on Linux. */
const PROCESSORS = ['x64', 'arm64']

/** The class behind every server. */
export const { NativeServer } = load()

// By `require`, which can fail and be explained; an `import` that fails ends the process with the loader's own words.
function load(): typeof Binding {
  // oxlint-disable-next-line typescript/unbound-method -- always called on `process`, and put back as it was
  const { dlopen } = process
  let damage: unknown
  // The loader tries several files and passes on no more than messages. This is what all its tries go through.
  process.dlopen = (...args) => {
    try {
      openChecked(dlopen, args)
    } catch (error) {
      damage ??= error
      throw error
    }
  }
  try {
    return createRequire(import.meta.url)('#binding') as typeof Binding
  } catch {
    throw Object.assign(codedError('ERR_BINDING_NOT_LOADED', reason(damage)), damage ? { cause: damage } : {})
  } finally {
    process.dlopen = dlopen
  }
}

function openChecked(dlopen: typeof process.dlopen, args: Parameters<typeof process.dlopen>): void {
  const [, path] = args
  const found = defect(path)
  if (found !== undefined) throw new Error(`${path}: ${found}`)
  dlopen.apply(process, args)
}

function reason(damage: unknown): string {
  const { platform, arch } = process
  if (platform !== 'linux' || !PROCESSORS.includes(arch)) {
    return `there is no echo-node for ${platform} ${arch}: use it on Linux, on ${PROCESSORS.join(' or ')}`
  }
  const tooOld = nodeTooOld()
  if (tooOld !== undefined) return tooOld
  return damage instanceof Error
    ? `the binary of echo-node cannot be loaded (${damage.message.trim()}): install echo-node again on this machine`
    : 'the binary of echo-node is missing: install echo-node again on this machine, with its optional dependencies'
}
