// Building everything that is measured. What cannot be built is named, with the reason.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { output } from './children.ts'
import { DIST, ROOT, at } from './paths.ts'
import type { Missing } from './step.ts'

/** The demo of Maelstrom's Go library. */
const GO_DEMO = 'github.com/jepsen-io/maelstrom/demo/go/cmd/maelstrom-echo@latest'

const C_FLAGS = ['-O2', '-Wall', '-Wextra']

/** Builds this package, the load generator and the peers. */
export async function build(): Promise<Missing> {
  await mkdir(DIST, { recursive: true })
  await output('npm', ['run', 'build'], ROOT)
  const members = ['-p', 'echo-loadgen', '-p', 'echo-peer-tokio']
  await output('cargo', ['build', '--release', '--quiet', ...members], ROOT)
  await output('npx', ['tsc', '-p', 'bench/peers'], ROOT)
  const missing = new Map<string, string>()
  await attempt(missing, 'epoll', 'cc', compile('epoll'))
  await attempt(missing, 'libuv', 'cc', [...compile('libuv'), '-luv'])
  await attempt(missing, 'go', 'go', ['build', '-o', `${DIST}/go-net`, '.'], at('bench/peers/go'))
  if (!existsSync(`${DIST}/maelstrom-echo`)) {
    await attempt(missing, 'maelstrom-echo', 'env', [`GOBIN=${DIST}`, 'go', 'install', GO_DEMO])
  }
  await attempt(missing, 'strace', 'strace', ['--version'])
  return missing
}

function compile(name: string): string[] {
  return [...C_FLAGS, '-o', `${DIST}/${name}`, at(`bench/peers/${name}.c`)]
}

async function attempt(missing: Map<string, string>, name: string, program: string, args: string[], cwd?: string) {
  try {
    await output(program, args, cwd)
  } catch (error) {
    missing.set(name, reason(error))
  }
}

/** The first line that says what is wrong, without where things are on this machine. */
function reason(error: unknown): string {
  const { code, stderr } = error as { code?: unknown; stderr?: string }
  if (code === 'ENOENT') return 'its toolchain is not installed'
  const lines = (stderr ?? String(error)).split('\n')
  const line = lines.find((text) => /error|fatal|not found|disabled|Forbidden/i.test(text)) ?? lines[0] ?? ''
  return `could not be built: ${line.replace(/\b\w+:\/\/\S+|\/\S*\//g, '…').slice(0, 120)}`
}
