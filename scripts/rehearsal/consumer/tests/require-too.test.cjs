// The same in another file: it runs in the same process, with modules of its own.
const { send, start, stop } = require('echo-node')

test('an echo', async () => {
  start()
  expect(await send('hello')).toEqual({ echoed: 'hello', bytes: 5 })
  await stop()
})
