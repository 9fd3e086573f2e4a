// The command line.

import { parseArgs } from 'node:util'

export const HELP = `Usage: npm run bench -- [options]

  --quick          shows in a few minutes what is broken; not for comparing
  --only TEXT      only the steps whose name contains TEXT; writes no files
  --rounds N       rounds per comparison, 10 by default
  --seconds S      seconds per sample, 2 by default
  --options JSON   options for this package's server, such as {"busyPoll":0}; writes no files
  --no-build       measures what is already built
  --list           prints the names of the steps
`

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

/** How much to measure: rounds per comparison, seconds per sample, and seconds to warm up the server before each. */
export const effort = {
  rounds: Number(asked.rounds ?? (asked.quick ? 2 : 10)),
  seconds: Number(asked.seconds ?? (asked.quick ? 0.3 : 2)),
  warmUp: asked.quick ? 0.2 : 0.5,
}
if (!(effort.rounds >= 1 && effort.seconds > 0)) {
  console.error('--rounds must be at least 1, and --seconds more than 0')
  process.exit(2)
}

/** Rounds of comparisons that come in series. */
export const HALF = Math.max(2, Math.round(effort.rounds / 2))
