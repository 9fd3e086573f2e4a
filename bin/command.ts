import type { EchoServer } from '../index.ts'
import { EchoNode } from '../maelstrom/node.ts'
import { exit, isReaderGone, onStopSignal, openInput, output, print, report } from './process.ts'

const EXIT_FAILURE = 1

/** Loads the engine when it is first needed, after init_ok. A node without one is of no use. */
function createServer(): EchoServer {
  const { EchoServer } = require('../index.js') as typeof import('../index.ts')
  return new EchoServer()
}

async function runNode(): Promise<void> {
  const node = new EchoNode({ input: openInput(), output, report, createServer })
  onStopSignal(() => node.stop())
  if (process.stdin.isTTY) report('reading Maelstrom requests, one JSON object per line; Ctrl-D ends, see --help')
  await node.run()
}

async function runCommand(args: string[]): Promise<void> {
  const { readArguments, HELP, version } = require('./arguments.js') as typeof import('./arguments.ts')
  const asked = readArguments(args)
  if (asked.command === 'node') await runNode()
  else if (asked.command === 'help') print(HELP)
  else if (asked.command === 'version') print(`${version()}\n`)
  else if (asked.command === 'serve') await (require('./serve.js') as typeof import('./serve.ts')).serve(asked.options)
  else await (require('./ping.js') as typeof import('./ping.ts')).ping(asked.target, asked.options)
}

/** Does what the arguments ask for, and ends the process. */
export async function main(args: string[]): Promise<never> {
  try {
    // Without arguments nothing is loaded that only reads them: a test harness waits for init_ok.
    await (args.length === 0 ? runNode() : runCommand(args))
  } catch (error) {
    const { message, exitCode = EXIT_FAILURE } = error as Error & { exitCode?: number }
    if (!isReaderGone(error as Error)) report(message)
    process.exitCode = exitCode
  }
  return exit()
}
