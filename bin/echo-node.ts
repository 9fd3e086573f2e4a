#!/usr/bin/env node
import { nodeTooOld } from '../api/node-version.ts'

// Asked before anything is loaded that an old Node.js cannot read.
const tooOld = nodeTooOld()
if (tooOld === undefined) {
  void import('./command.ts')
} else {
  process.stderr.on('error', () => {})
  process.stderr.write(`echo-node: ${tooOld}\n`)
  process.exitCode = 1
}
