// npm run stage: makes what is published, in release/.

import { rm } from 'node:fs/promises'

import { at } from '../support/paths.ts'
import { stage } from './stage.ts'

const RELEASE = at('release')

await rm(RELEASE, { recursive: true, force: true })
await stage(RELEASE)
