import type { EchoServer } from '../index.ts'
import { EchoNode } from '../maelstrom/node.ts'
import { exit, exitNow, isReaderGone, onStopSignal, print, report } from './process.ts'

const [EXIT_FAILURE, EXIT_USAGE] = [1, 2]

/** Loads the engine when it is first needed, after init_ok. A node without one is of no use. */
async function createServer(): Promise<EchoServer> {
  try {
    const { EchoServer } = require('../index.js') as typeof import('../index.ts')
    return new EchoServer()
  } catch (error) {
    report((error as Error).message)
    process.exitCode = EXIT_FAILURE
    return exit()
  }
}

async function runNode(): Promise<void> {
  const node = new EchoNode({ input: process.stdin, output: process.stdout, report, createServer })
  onStopSignal(() => node.stop())
  if (process.stdin.isTTY) report('reading Maelstrom requests, one JSON object per line; Ctrl-D ends, see --help')
  try {
    await node.run()
  } catch (error) {
    if (!isReaderGone(error as Error)) report(`cannot write replies: ${(error as Error).message}`)
    exitNow(EXIT_FAILURE)
  }
}

async function runCommand(args: string[]): Promise<void> {
  const { readArguments, UsageError, HELP, version } = require('./arguments.js') as typeof import('./arguments.ts')
  try {
    const asked = readArguments(args)
    if (asked === 'node') await runNode()
    else if (asked === 'help') print(HELP)
    else if (asked === 'version') print(`${version()}\n`)
    else await (require('./serve.js') as typeof import('./serve.ts')).serve(asked)
  } catch (error) {
    report((error as Error).message)
    process.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE
  }
}

/** Does what the arguments ask for, and ends the process. */
export async function main(args: string[]): Promise<never> {
  // Without arguments nothing is loaded that only reads them: a test harness waits for init_ok.
  await (args.length === 0 ? runNode() : runCommand(args))
  return exit()
}
