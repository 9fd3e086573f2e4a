import { constants } from 'node:os'

import test from 'ava'

import { Child, killAll } from '../support/children.ts'
import { startScript } from './support/command.ts'
import type { Started } from './support/start-child.ts'
import { fail } from '../support/strace.ts'
import { needing } from './support/tools.ts'

const traced = needing('strace')

test.afterEach.always(killAll)

const NOTHING = { descriptors: 0, threads: 0 }

async function starter(): Promise<Child> {
  const child = startScript('start-child.ts')
  await child.line()
  return child
}

/** Each call of a start, and which one of its name it is. */
const CALLS: [string, string, string, string[]][] = [
  ['socket', 'socket', 'EMFILE ENFILE ENOBUFS ENOMEM EACCES EAFNOSUPPORT EPROTONOSUPPORT EINVAL', ['1']],
  ['setsockopt', 'setsockopt', 'ENOPROTOOPT EINVAL ENOMEM', ['1', '2', '3']],
  ['bind', 'bind', 'EADDRINUSE EACCES EADDRNOTAVAIL EINVAL ENOMEM', ['1']],
  ['listen', 'listen', 'EADDRINUSE EINVAL ENOMEM', ['1']],
  ['getsockname', 'getsockname', 'ENOBUFS', ['1']],
  ['epoll_create1', 'epoll_create1', 'EMFILE ENFILE ENOMEM', ['1']],
  ['eventfd2', 'eventfd', 'EMFILE ENFILE ENODEV ENOMEM', ['1']],
  // The waker, then the listener.
  ['epoll_ctl', 'epoll_ctl', 'ENOMEM ENOSPC', ['1', '2']],
  ['clone', 'pthread_create', 'EAGAIN', ['1']],
]

traced('every call of a start that fails is an exception which names it, and leaves nothing behind', async (t) => {
  const child = await starter()
  for (const [syscall, name, errnos, whens] of CALLS) {
    for (const code of errnos.split(' ')) {
      for (const when of whens) {
        const label = `${syscall} ${code} ${when}`
        const tracer = await fail(child.pid, syscall, code, when)
        const { error, leaked } = await child.ask<Started>('{}')
        await tracer.detach()
        t.like(error, { code, syscall: name, errno: -constants.errno[code as keyof typeof constants.errno] }, label)
        t.deepEqual(leaked, NOTHING, label)
      }
    }
  }
  t.truthy((await child.ask<Started>('{}')).port, 'afterwards it can start')
  child.process.stdin.end()
  t.is(await child.end(), 0, 'no failed start keeps the process alive')
})

traced('a start of several threads that fails half-way ends those it has started', async (t) => {
  const child = await starter()
  for (const [syscall, name, code] of [
    ['clone', 'pthread_create', 'EAGAIN'],
    ['epoll_create1', 'epoll_create1', 'EMFILE'],
    ['eventfd2', 'eventfd', 'ENFILE'],
  ] as const) {
    for (const when of ['2', '3', '4']) {
      const tracer = await fail(child.pid, syscall, code, when)
      const { error, leaked } = await child.ask<Started>('{"threads":4}')
      await tracer.detach()
      t.like(error, { code, syscall: name }, `${syscall} ${when}`)
      t.deepEqual(leaked, NOTHING, `${syscall} ${when}`)
    }
  }
  child.process.stdin.end()
  t.is(await child.end(), 0)
})
