// Figures as people read them.

import test from 'ava'

import { formatBytes, formatDuration, formatTotals } from '../bin/format.ts'

test('durations have a unit and two or three figures', (t) => {
  const cases = [
    [0.416, '0.42 ms'],
    [9.99, '9.99 ms'],
    [10, '10 ms'],
    [999, '999 ms'],
    [1000, '1.0 s'],
    [42_040, '42.0 s'],
  ] as const
  for (const [milliseconds, text] of cases) t.is(formatDuration(milliseconds), text)
})

test('bytes have the largest unit of which there is one', (t) => {
  const cases = [
    [0, '0 B'],
    [1, '1 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [1024 ** 2, '1.0 MiB'],
    [1024 ** 4, '1.0 TiB'],
    [1024 ** 5, '1024.0 TiB'],
  ] as const
  for (const [bytes, text] of cases) t.is(formatBytes(bytes), text)
})

test('totals name what was rejected only if something was', (t) => {
  const stats = { totalConnections: 1, totalBytes: 5, activeConnections: 0, rejectedConnections: 0 }
  t.is(formatTotals(stats), '1 connection, 5 B echoed')
  t.is(formatTotals({ ...stats, totalConnections: 2, rejectedConnections: 3 }), '2 connections, 5 B echoed, 3 rejected')
})
