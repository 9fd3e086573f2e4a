#!/usr/bin/env node
import { nodeTooOld } from '../api/node-version.ts'

// Asked before anything is loaded that an old Node.js cannot read.
const tooOld = nodeTooOld()
if (tooOld === undefined) {
  // Not by `import()`: setting up the loader of ES modules takes longer than all the rest.
  const { main } = require('./command.js') as typeof import('./command.ts')
  void main(process.argv.slice(2))
} else {
  process.stderr.on('error', () => {})
  process.stderr.write(`echo-node: ${tooOld}\n`)
  process.exitCode = 1
}
