// What a test does that reaches it by `import`.
import { send, start, stop } from 'echo-node'

test('an echo', async () => {
  start()
  expect(await send('hello')).toEqual({ echoed: 'hello', bytes: 5 })
  await stop()
})
