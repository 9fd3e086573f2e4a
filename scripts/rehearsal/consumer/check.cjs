// What a project with CommonJS does.
const assert = require('node:assert/strict')

const { EchoServer } = require('echo-node')

async function check() {
  const server = new EchoServer()
  server.start()
  assert.deepEqual(await server.send('hello'), { echoed: 'hello', bytes: 5 })
  await server.stop()
}

void check()
