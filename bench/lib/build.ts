// Building everything that is measured. What cannot be built is named, with the reason.
import { mkdir } from 'node:fs/promises'
import { output } from './children.ts'
import { DIST, ROOT, at } from './paths.ts'
import type { Missing } from './step.ts'

/** The demo of Maelstrom's Go library. */
const GO_DEMO = 'github.com/jepsen-io/maelstrom/demo/go/cmd/maelstrom-echo@latest'

const C_FLAGS = ['-O2', '-Wall', '-Wextra']

/** What a peer is made with. */
interface Recipe {
  name: string
  command: string[]
  cwd?: string
}

const RECIPES: Recipe[] = [
  { name: 'epoll', command: compile('epoll') },
  { name: 'libuv', command: [...compile('libuv'), '-luv'] },
  { name: 'go', command: ['go', 'build', '-o', `${DIST}/go-net`, '.'], cwd: at('bench/peers/go') },
  { name: 'maelstrom-echo', command: ['env', `GOBIN=${DIST}`, 'go', 'install', GO_DEMO] },
  { name: 'strace', command: ['strace', '--version'] },
]

/** Builds this package, the load generator and the peers; or, if asked not to, only looks what cannot be built. */
export async function build(everything: boolean): Promise<Missing> {
  await mkdir(DIST, { recursive: true })
  if (everything) {
    process.stderr.write('building this package, the load generator and the peers\n')
    await make('npm', 'run', 'build')
    await make('cargo', 'build', '--release', '--quiet', '-p', 'echo-loadgen', '-p', 'echo-peer-tokio')
    await make('npx', 'tsc', '-p', 'bench/peers')
  }
  const missing = new Map<string, string>()
  for (const recipe of RECIPES) {
    const problem = await attempt(recipe)
    if (problem !== undefined) missing.set(recipe.name, problem)
  }
  return missing
}

/** Runs a command without which nothing can be measured. If it fails, what it said is all there is to say. */
export async function make(program: string, ...args: string[]): Promise<void> {
  try {
    await output(program, args, ROOT)
  } catch (error) {
    const { stdout = '', stderr = String(error) } = error as { stdout?: string; stderr?: string }
    process.stderr.write(stdout + stderr)
    process.exit(1)
  }
}

function compile(name: string): string[] {
  return ['cc', ...C_FLAGS, '-o', `${DIST}/${name}`, at(`bench/peers/${name}.c`)]
}

/** Why it could not be made, if so. */
async function attempt({ command: [program, ...args], cwd }: Recipe): Promise<string | undefined> {
  try {
    await output(program!, args, cwd)
    return undefined
  } catch (error) {
    return reason(error)
  }
}

/** The end of the first line that says what is wrong, without where things are on this machine. */
function reason(error: unknown): string {
  const { code, stderr } = error as { code?: unknown; stderr?: string }
  if (code === 'ENOENT') return 'its toolchain is not installed'
  const lines = (stderr ?? String(error)).split('\n')
  const line = lines.find((text) => /error|fatal|not found|forbidden/i.test(text)) ?? lines[0] ?? ''
  const clauses = line.replace(/\w+:\/\/\S+/g, '').split(': ')
  return `could not be built: ${clauses.slice(-2).join(': ')}`
}
