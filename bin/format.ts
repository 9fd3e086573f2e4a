import type { Stats } from '../index.ts'

/** 1536 as `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  const value = bytes / 1024 ** step
  return `${step === 0 ? value : value.toFixed(1)} ${units[step]}`
}

/** Milliseconds as `0.42 ms`, `420 ms` or `42.0 s`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`
  return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 0)} ms`
}

/** What a server has done. */
export function formatTotals({ totalConnections, totalBytes, rejectedConnections }: Stats): string {
  const rejected = rejectedConnections === 0 ? '' : `, ${rejectedConnections} rejected`
  return `${totalConnections} ${totalConnections === 1 ? 'connection' : 'connections'}, ${formatBytes(totalBytes)} echoed${rejected}`
}
