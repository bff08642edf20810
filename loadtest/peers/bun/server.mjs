// uWebSockets' publish/subscribe as Bun ships it: subscribers over WebSocket, events in as lines of JSON, one process.
//
// `bun server.mjs` prints {"port":…,"publish":…} and serves until it is killed. There is no second node and no Redis: what
// is published never leaves this process, so its figures are a ceiling, not those of an equal.
const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request, server) {
        if (!server.upgrade(request)) return new Response(null, { status: 426 })
    },
    websocket: {
        perMessageDeflate: false,
        message(socket, text) {
            if (text !== 'subscribe') return
            socket.subscribe('load')
            socket.send('subscribed')
        },
    },
})

const lines = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
        open(stream) {
            stream.data = { decoder: new TextDecoder(), rest: '' }
        },
        data(stream, bytes) {
            const parts = (stream.data.rest + stream.data.decoder.decode(bytes, { stream: true })).split('\n')
            stream.data.rest = parts.pop()
            for (const line of parts) server.publish('load', line)
        },
    },
})
console.log(JSON.stringify({ port: server.port, publish: lines.port }))
