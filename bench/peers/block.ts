// A JavaScript thread that is busy most of the time, as one that renders pages or parses large documents is.

const PERIOD = 60
const BUSY = 50

/** Keeps the JavaScript thread busy for 50 ms out of every 60. */
export function blockAgainAndAgain(): void {
  setInterval(() => {
    const end = performance.now() + BUSY
    while (performance.now() < end);
  }, PERIOD)
}
