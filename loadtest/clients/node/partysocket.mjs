// It reconnects by itself; a close ends the pipe all the same.
import WebSocket from 'ws'
import { WebSocket as PartySocket } from 'partysocket'
import { protocols, standard, url } from './pipe.mjs'

standard(new PartySocket(url, protocols, { WebSocket, maxRetries: 0 }))
