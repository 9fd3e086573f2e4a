// An echo server as Node's programmers write one.
//
// Usage: node node-net.js HOST PORT
import { createServer, type AddressInfo } from 'node:net'

const [host = '127.0.0.1', port = '0'] = process.argv.slice(2)

const server = createServer((socket) => {
  // An error ends this connection only.
  socket.on('error', () => socket.destroy())
  socket.pipe(socket)
})
server.listen({ host, port: Number(port), backlog: 511 }, () => {
  console.log((server.address() as AddressInfo).port)
})
