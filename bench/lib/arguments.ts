// The command line.
import { parseArgs } from 'node:util'

export const HELP = `Usage: npm run bench -- [options]

  --quick          two minutes in all: enough to see what is broken, not to compare
  --only TEXT      only the steps whose name contains TEXT; writes no files
  --rounds N       rounds of each comparison, 10 by default
  --seconds S      length of one sample, 2 by default
  --options JSON   what this package's server is started with, {"busyPoll":0} say; writes no files
  --no-build       measures what is built already
  --list           the names of the steps
`

/** What was asked for. */
export const { values: asked } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    options: { type: 'string' },
    'no-build': { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
