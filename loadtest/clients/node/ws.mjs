import WebSocket from 'ws'
import { closed, compress, failed, feed, headers, protocols, say, url } from './pipe.mjs'

const ws = new WebSocket(url, protocols, { headers, perMessageDeflate: compress })
ws.on('open', () => {
  say('open', ws.protocol)
  feed((line) => ws.send(line), () => ws.close(1000))
})
ws.on('message', (data) => say('text', data))
ws.on('close', (code, reason) => closed(code, reason))
ws.on('error', failed)
