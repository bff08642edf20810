import WebSocket from 'ws'
import { webSocket } from 'rxjs/webSocket'
import { closed, feed, protocols, say, url } from './pipe.mjs'

const subject = webSocket({
  url,
  protocol: protocols,
  WebSocketCtor: WebSocket,
  serializer: (line) => line,
  deserializer: ({ data }) => data,
  openObserver: { next: ({ target }) => { say('open', target.protocol); feed((line) => subject.next(line), () => subject.complete()) } },
  closeObserver: { next: ({ code, reason }) => closed(code, reason) },
})
subject.subscribe({ next: (text) => say('text', text), error: () => {} })
