/** What someone does with the published package. Each throws if it does not work. */

import { expectSame } from './expect.ts'
import { binaryOf, CHECKS, makeWithPackage } from './project.ts'
import { transcript, TRANSCRIPTS } from './transcripts.ts'
import type { User } from './user.ts'

/** `npx echo-node`, from nothing, answers a transcript byte for byte. */
export async function runsByNpx(user: User): Promise<void> {
  const directory = await user.directory('npx')
  for (const name of TRANSCRIPTS) {
    const { input, expected } = await transcript(name)
    expectSame(await user.run(['npx', '--yes', 'echo-node'], directory, { input }), expected, `the replies to ${name}`)
  }
}

/** A project installs it, with the binary for this machine, and uses it by `import` and by `require`. */
export async function imports(user: User): Promise<void> {
  const project = await makeWithPackage(user, 'project')
  await binaryOf(project)
  for (const check of [...CHECKS, 'same.mjs']) await user.run(['node', check], project)
}

/** Where there is no binary, it says so in one line on stderr, and fails. */
export async function refusesOtherPlatforms(user: User): Promise<void> {
  const project = await makeWithPackage(user, 'elsewhere', ['--os=win32', '--cpu=arm64'])
  const pretence = `for (const [name, value] of [['platform', 'win32'], ['arch', 'arm64']]) {
    Object.defineProperty(process, name, { value })
  }`
  const { code, stdout, stderr } = await user.attempt(['node', 'node_modules/.bin/echo-node', 'serve'], project, {
    NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretence)}`,
  })
  const sentence = 'echo-node: there is no echo-node for win32 arm64: use it on Linux or macOS, on x64 or arm64\n'
  expectSame({ code, stdout, stderr }, { code: 1, stdout: '', stderr: sentence }, 'the refusal')
}
