// One node of Socket.IO with its Redis adapter: subscribers over WebSocket, events in as lines of JSON.
//
// `node server.mjs REDIS_URL` prints {"port":…,"publish":…} and serves until it is killed. Compression and logs are off
// (their defaults), WebSocket is the only transport.
import { createServer } from 'node:http'
import { createServer as createLineServer } from 'node:net'
import { createInterface } from 'node:readline'
import { createAdapter } from '@socket.io/redis-adapter'
import { createClient } from 'redis'
import { Server } from 'socket.io'

const listening = (server) =>
    new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))

const publisher = createClient({ url: process.argv[2] })
const subscriber = publisher.duplicate()
await Promise.all([publisher.connect(), subscriber.connect()])

const http = createServer()
const io = new Server(http, {
    transports: ['websocket'],
    serveClient: false,
    perMessageDeflate: false,
    httpCompression: false,
    adapter: createAdapter(publisher, subscriber),
})
io.on('connection', (socket) => {
    socket.join('load')
    socket.emit('subscribed')
})

const lines = createLineServer((stream) => {
    stream.on('error', () => stream.destroy())
    createInterface({ input: stream }).on('line', (line) => io.to('load').emit('event', JSON.parse(line)))
})
console.log(JSON.stringify({ port: await listening(http), publish: await listening(lines) }))
