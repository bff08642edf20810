import websocket from 'nodejs-websocket'
import { closed, failed, feed, headers, protocols, say, url } from './pipe.mjs'

const connection = websocket.connect(url, { extraHeaders: headers, protocols }, () => {
  say('open', connection.protocol ?? '')
  feed((line) => connection.sendText(line), () => connection.close(1000))
})
connection.on('text', (text) => say('text', text))
connection.on('error', (error) => say('error', error.message))
connection.on('close', (code, reason) => closed(code, reason))
