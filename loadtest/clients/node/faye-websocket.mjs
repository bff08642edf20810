import deflate from 'permessage-deflate'
import websocket from 'faye-websocket'
import { compress, headers, protocols, standard, url } from './pipe.mjs'

const extensions = compress ? [deflate] : []
standard(new websocket.Client(url, protocols, { headers, extensions }))
