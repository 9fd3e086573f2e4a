// The same from CommonJS.
import api = require('echo-node')

export const port: number = api.start()
export const server: api.EchoServer = new api.EchoServer()
