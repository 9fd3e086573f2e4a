/** The addon, or one sentence that says why there is none and what to do. */

import { existsSync } from 'node:fs'
import { join } from 'node:path'

import type * as Binding from '../binding/index.d.cts'

import { codedError } from './errors.ts'
import { nodeTooOld } from './node-version.ts'

export type {
  NativeClient,
  NativeFaults,
  NativeOutcome,
  NativeReport,
  NativeServer,
  NativeTimes,
} from '../binding/index.d.cts'

/** What Node.js threw. In jest it is no instance of this realm's `Error`. */
interface LoadFailure {
  code?: string
  message: string
}

/** Bundlers put this file elsewhere, or leave nothing of its name. */
const isBundled = typeof __filename === 'undefined' || !__filename.endsWith(join('dist', 'api', 'binding.js'))

/** Starts a server or a client, or ends the process. */
export const { start: startNative, startClient, exit: exitNative } = load()

function load(): typeof Binding {
  const failures: LoadFailure[] = []
  const machine = `${process.platform}-${process.arch}`
  // Which libc a Linux has shows by trying: the binary for the other one is not installed, or cannot be loaded.
  const targets = process.platform === 'linux' ? [`${machine}-gnu`, `${machine}-musl`] : [machine]
  for (const target of targets) {
    try {
      const built = isBundled ? '' : join(__dirname, '../../binding', `echo-node.${target}.node`)
      let binding: typeof Binding
      // A checkout uses what it has built.
      if (existsSync(built)) binding = module.require(built) as typeof Binding
      // Bundlers and tracers follow these literals. What stands in a `try` is optional to them.
      else if (target === 'linux-x64-gnu') binding = require('echo-node-linux-x64-gnu') as typeof Binding
      else if (target === 'linux-x64-musl') binding = require('echo-node-linux-x64-musl') as typeof Binding
      else if (target === 'linux-arm64-gnu') binding = require('echo-node-linux-arm64-gnu') as typeof Binding
      else if (target === 'linux-arm64-musl') binding = require('echo-node-linux-arm64-musl') as typeof Binding
      else if (target === 'darwin-arm64') binding = require('echo-node-darwin-arm64') as typeof Binding
      else if (target === 'darwin-x64') binding = require('echo-node-darwin-x64') as typeof Binding
      else continue
      if (typeof binding.start === 'function') return binding
      throw new Error('what was loaded is not the addon')
    } catch (error) {
      failures.push(error as LoadFailure)
    }
  }
  const cause = failures.find(({ code }) => code !== 'MODULE_NOT_FOUND') ?? failures[0]
  throw Object.assign(codedError('ERR_BINDING_NOT_LOADED', reason(cause)), cause && { cause })
}

function reason(failure: LoadFailure | undefined): string {
  if (failure === undefined) {
    return `there is no echo-node for ${process.platform} ${process.arch}: use it on Linux or macOS, on x64 or arm64`
  }
  return nodeTooOld() ?? problem(failure)
}

function problem(failure: LoadFailure): string {
  const why = failure.message.trim().split('\n', 1)[0]!
  if (failure.code === 'ERR_DLOPEN_DISABLED') {
    return 'Node.js may not load addons here: start it without --no-addons or, under --permission, with --allow-addons'
  }
  if (failure.code === 'ERR_ACCESS_DENIED' || /not permitted|permission denied|failed to map segment/i.test(why)) {
    return `the binary of echo-node may not be loaded (${why}): let this user read it, on a mount without noexec`
  }
  if (isBundled) return `the binary of echo-node is not in the bundle (${why}): mark echo-node as external`
  if (failure.code === 'MODULE_NOT_FOUND') {
    return 'the binary of echo-node is missing: install echo-node again on this machine, with its optional dependencies'
  }
  return `the binary of echo-node cannot be loaded (${why}): install echo-node again on this machine`
}
