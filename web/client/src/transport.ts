/** How do frames come from a gateway: over a WebSocket, an event stream, or polls? */

import type { Ended, Outcome } from './machine.js'
import type { Position, Transport } from './types.js'

/** A frame of the server, as it came. */
// biome-ignore lint/suspicious/noExplicitAny: frames have one field in common, and each reader knows those of its type
export type Frame = { readonly type: string; readonly [field: string]: any }

/** What a connection says of itself: in the first frame, or in the URL. */
export interface Hello {
  readonly token: string
  readonly tenant?: string | undefined
  readonly device?: string | undefined
  readonly types?: readonly string[] | undefined
  readonly channels: readonly string[]
  readonly cursor: Position | null
  readonly last?: string | undefined
}

export interface Link {
  send(frame: object): void
  close(): void
}

export interface Receiver {
  frame(frame: Frame): void
  ended(end: Ended): void
}

/** Makes a link; its receiver is told nothing before it has it. */
export type Open = (
  transport: Transport,
  base: string,
  hello: Hello,
  to: Receiver,
  WebSocket?: typeof globalThis.WebSocket | undefined,
) => Link

export const end = (outcome: Outcome, code: string, reason: string, retryMs?: number, answered = true): Ended => ({
  type: 'ended',
  outcome,
  code,
  reason,
  retryMs,
  answered,
})

/** Of the 44xx only 4408 and 4429 pass by themselves, and 4401 with another token; everything else is resumed. */
export function endOfClose(code: number, reason: string): Ended {
  const outcome = code === 4401 ? 'refused' : code >= 4400 && code < 4500 && code !== 4408 && code !== 4429 ? 'final' : 'retry'
  const named = code === 4403 ? 'forbidden' : code === 4410 ? 'disconnected_by_admin' : `close_${code}`
  return end(outcome, named, reason || `closed (${code})`, undefined, code === 1012 || code >= 4400)
}

function webSocket(base: string, hello: Hello, to: Receiver, WebSocket: typeof globalThis.WebSocket): Link {
  const socket = new WebSocket(`${base.replace(/^http/, 'ws')}/v1/ws`, 'carillon.v1')
  const { cursor, token, channels, ...rest } = hello
  socket.onopen = () =>
    socket.send(JSON.stringify({ type: 'auth', token, channels, since: cursor?.seq, epoch: cursor?.epoch, ...rest }))
  socket.onmessage = ({ data }) => to.frame(JSON.parse(data))
  socket.onclose = ({ code, reason }) => to.ended(endOfClose(code, reason))
  return {
    send: (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame)),
    close() {
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.close(1000)
    },
  }
}

/** A URL that none can be made of is an end, too. What is seldom needed comes when it is. */
export function open(
  transport: Transport,
  base: string,
  hello: Hello,
  to: Receiver,
  WebSocket: typeof globalThis.WebSocket | undefined = globalThis.WebSocket,
): Link {
  let link: Link | null = null
  let closed = false
  const ended = (outcome: Outcome, code: string) => (error: Error) =>
    closed || to.ended(end(outcome, code, error.message, undefined, false))
  try {
    new URL(base)
    // Where there is none, it cannot be made.
    if (transport === 'websocket') return webSocket(base, hello, to, WebSocket)
    import('./fallback.js').then(
      ({ listen }) => {
        if (!closed) link = listen(transport, base, hello, to)
      },
      ended('retry', 'network'),
    )
  } catch (error) {
    const code = !URL.canParse(base) ? 'invalid_url' : WebSocket ? 'websocket_blocked' : 'no_websocket'
    queueMicrotask(() => ended(code === 'invalid_url' ? 'final' : 'retry', code)(error as Error))
  }
  return {
    send() {},
    close() {
      closed = true
      link?.close()
    },
  }
}
