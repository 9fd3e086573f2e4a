// Keeps the JavaScript thread busy for 50 ms out of every 60, as one that renders pages or parses large documents is.
//
// Usage: node --import ./block.js SERVER.js

const PERIOD = 60
const BUSY = 50

setInterval(() => {
  const end = performance.now() + BUSY
  while (performance.now() < end);
}, PERIOD)
