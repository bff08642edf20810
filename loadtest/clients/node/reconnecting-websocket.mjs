// It reconnects by itself; a close ends the pipe all the same.
import ReconnectingWebSocket from 'reconnecting-websocket'
import WebSocket from 'ws'
import { protocols, standard, url } from './pipe.mjs'

standard(new ReconnectingWebSocket(url, protocols, { WebSocket, maxRetries: 0 }))
