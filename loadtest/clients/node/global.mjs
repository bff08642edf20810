// The WebSocket that Deno and Bun have built in.
import { headers, protocols, standard, url } from './pipe.mjs'

standard(Object.keys(headers).length ? new WebSocket(url, { protocols, headers }) : new WebSocket(url, protocols))
