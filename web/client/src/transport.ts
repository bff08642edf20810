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

const end = (outcome: Outcome, code: string, reason: string, retryMs?: number, answered = true): Ended => ({
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
  return end(outcome, named, reason || `the connection ended (${code})`, undefined, code === 1012 || code >= 4400)
}

/** What a refusal over HTTP means. */
export async function endOfAnswer(answer: Response): Promise<Ended> {
  const { status } = answer
  const problem = await answer.json().catch(() => ({}))
  const outcome = status === 401 ? 'refused' : status === 429 || status === 408 || status >= 500 ? 'retry' : 'final'
  const after = Number(answer.headers.get('retry-after'))
  const refusal = end(
    outcome,
    problem.code ?? `http_${status}`,
    problem.detail ?? `the server answered ${status}`,
    after ? after * 1000 : undefined,
  )
  return problem.channels ? ({ ...refusal, channels: problem.channels } as Ended) : refusal
}

/** The names with which an event stream says why it ends. */
const FINAL = ['protocol_error', 'forbidden', 'disconnected']

function query({ tenant, device, types, channels, cursor, last }: Hello, more: object = {}): string {
  const parameters = new URLSearchParams()
  const all = {
    tenant,
    device,
    types: types?.join(),
    channels: channels.join(),
    since: cursor?.seq,
    epoch: cursor?.epoch,
    last,
    ...more,
  }
  for (const [name, value] of Object.entries(all)) if (value !== undefined && value !== '') parameters.set(name, `${value}`)
  return `?${parameters}`
}

function webSocket(base: string, hello: Hello, to: Receiver, WebSocket = globalThis.WebSocket): Link {
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

/** Runs until it is closed; whatever it throws is the end. */
function reading(
  to: Receiver,
  read: (get: (path: string) => Promise<Response>) => Promise<Ended>,
  base: string,
  token: string,
): Link {
  const abort = new AbortController()
  const get = (path: string) =>
    fetch(base + path, { headers: { authorization: `Bearer ${token}` }, signal: abort.signal, cache: 'no-store' })
  read(get)
    .catch((error) => end('retry', 'network', `${error?.message ?? error}`, undefined, false))
    .then((how) => abort.signal.aborted || to.ended(how))
  return { send() {}, close: () => abort.abort() }
}

function eventStream(base: string, hello: Hello, to: Receiver): Link {
  return reading(
    to,
    async (get) => {
      const answer = await get(`/v1/sse${query(hello)}`)
      if (!answer.ok) return endOfAnswer(answer)
      let [rest, retryMs, why] = ['', undefined as number | undefined, undefined as Frame | undefined]
      const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) break
        const lines = (rest + value).split('\n')
        rest = lines.pop()!
        for (const line of lines) {
          if (line.startsWith('retry:')) retryMs = Number(line.slice(6))
          if (!line.startsWith('data:')) continue
          const frame: Frame = JSON.parse(line.slice(5))
          if (frame.type === 'error' && frame.id === undefined) why = frame
          to.frame(frame)
        }
      }
      const outcome = why?.code === 'unauthenticated' ? 'refused' : FINAL.includes(why?.code) ? 'final' : 'retry'
      return end(outcome, why?.code ?? 'stream_ended', why?.message ?? 'the event stream ended', retryMs)
    },
    base,
    hello.token,
  )
}

/** What a token says of itself, for those who are told no welcome. It is not checked: the server has done so. */
export function claims(token: string): {
  sub?: string
  tenant?: string
  exp?: number
  roles?: string[]
  tenants?: Record<string, string[]>
} {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return {}
  }
}

function polls(base: string, hello: Hello, to: Receiver): Link {
  return reading(
    to,
    async (get) => {
      let cursor = hello.cursor
      for (let first = true; ; first = false) {
        const answer = await get(`/v1/poll${query({ ...hello, cursor }, first ? { wait: 0 } : { wait: 25 })}`)
        if (!answer.ok) return endOfAnswer(answer)
        const { events, seq, epoch, reset } = await answer.json()
        if (first) {
          const { sub, tenant, roles = [], tenants } = claims(hello.token)
          const of = hello.tenant ?? tenant ?? Object.keys(tenants ?? {})[0]
          const own = ['tenant', `user:${sub}`, ...roles.map((role) => `role:${role}`)]
          to.frame({
            type: 'welcome',
            connection: 'poll',
            tenant: of,
            user: sub ?? 'key',
            roles,
            channels: [...own, ...hello.channels],
            seq: cursor?.seq ?? seq,
            epoch,
            heartbeat_ms: 30_000,
          })
        }
        if (reset) to.frame({ type: 'reset', reason: reset, seq, epoch })
        for (const event of events) to.frame(event)
        to.frame({ type: 'heartbeat', seq, epoch })
        cursor = { seq, epoch }
      }
    },
    base,
    hello.token,
  )
}

/** A URL that none can be made of is an end, too. */
export function open(
  transport: Transport,
  base: string,
  hello: Hello,
  to: Receiver,
  WebSocket?: typeof globalThis.WebSocket,
): Link {
  try {
    new URL(base)
    return transport === 'websocket'
      ? webSocket(base, hello, to, WebSocket)
      : (transport === 'sse' ? eventStream : polls)(base, hello, to)
  } catch (error) {
    const none = transport === 'websocket' && !(WebSocket ?? globalThis.WebSocket)
    queueMicrotask(() =>
      to.ended(
        end(none ? 'retry' : 'final', none ? 'no_websocket' : 'invalid_url', `${(error as Error).message}`, undefined, false),
      ),
    )
    return { send() {}, close() {} }
  }
}
