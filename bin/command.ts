import type { EchoServer } from '../index.ts'
import { EchoNode } from '../maelstrom/node.ts'
import { onEndSignal, report } from './process.ts'

const [EXIT_FAILURE, EXIT_USAGE] = [1, 2]

/** Loads the engine when it is first needed: init_ok is out before. A node without one has nothing to go on for. */
async function loadServer(): Promise<EchoServer> {
  try {
    const { EchoServer } = await import('../index.ts')
    return new EchoServer()
  } catch (error) {
    report((error as Error).message)
    // A pipe is written asynchronously: what was answered before goes out first.
    await new Promise((resolve) => process.stdout.write('', resolve))
    return process.exit(EXIT_FAILURE)
  }
}

async function runNode(): Promise<void> {
  if (process.stdin.isTTY) report('reads Maelstrom requests, one JSON object a line; Ctrl-D ends, --help tells more')
  const node = new EchoNode({
    input: process.stdin,
    output: process.stdout,
    report,
    createServer: loadServer,
  })
  onEndSignal(() => node.stop())
  try {
    await node.run()
  } catch (error) {
    // The reader of the replies is gone; that is how harnesses end, and nothing to complain about.
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') report(`cannot write replies: ${(error as Error).message}`)
    process.exit(EXIT_FAILURE)
  }
}

async function runCommand(args: string[]): Promise<void> {
  const { readArguments, UsageError, HELP, version } = await import('./arguments.ts')
  try {
    const asked = readArguments(args)
    if (asked === 'node') await runNode()
    else if (asked === 'help') process.stdout.write(HELP)
    else if (asked === 'version') process.stdout.write(`${version()}\n`)
    else await (await import('./serve.ts')).serve(asked)
  } catch (error) {
    report((error as Error).message)
    process.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILURE
  }
}

// Without arguments nothing is loaded that only reads them: a harness waits for init_ok.
const args = process.argv.slice(2)
await (args.length === 0 ? runNode() : runCommand(args))
