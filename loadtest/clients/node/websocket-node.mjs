import websocket from 'websocket'
import { LARGEST, closed, failed, feed, headers, large, protocols, say, url } from './pipe.mjs'

const client = new websocket.client(large ? { maxReceivedFrameSize: LARGEST, maxReceivedMessageSize: LARGEST } : {})
client.on('connectFailed', failed)
client.on('connect', (connection) => {
  say('open', connection.protocol ?? '')
  feed((line) => connection.sendUTF(line), () => connection.close(1000))
  connection.on('message', (message) => say('text', message.utf8Data))
  connection.on('error', (error) => say('error', error.message))
  connection.on('close', (code, reason) => closed(code, reason))
})
client.connect(url, protocols, undefined, headers)
