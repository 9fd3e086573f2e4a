// What a worker says to the thread that started it.

import { parentPort } from 'node:worker_threads'

/** Sends a message to the parent. */
export function tell(message: unknown): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port between threads has no origin
  parentPort!.postMessage(message)
}
