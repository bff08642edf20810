import { WebSocket } from 'undici'
import { headers, protocols, standard, url } from './pipe.mjs'

standard(new WebSocket(url, { protocols, headers }))
