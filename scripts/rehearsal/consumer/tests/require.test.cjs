// What a test does that reaches it by `require`.
const { send, start, stop } = require('echo-node')

test('an echo', async () => {
  start()
  expect(await send('hello')).toEqual({ echoed: 'hello', bytes: 5 })
  await stop()
})
