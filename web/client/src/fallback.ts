/** How do frames come where no WebSocket passes: over an event stream, or polls? */

import { claims, rolesOf } from './claims.js'
import { errorOf } from './connection.js'
import { CarillonError } from './errors.js'
import type { Ended } from './machine.js'
import { end, type Frame, type Hello, type Link, type Receiver } from './transport.js'

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

/** Longest query of a URL, in bytes: many balancers take heads of 8 KiB. What is longer goes as a form, which may have 64 KiB. */
const QUERY = 4096

function parametersOf({ tenant, device, types, channels, cursor, last }: Hello, more: object = {}): URLSearchParams {
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
  return parameters
}

/** Runs until it is closed; whatever it throws is the end. */
function reading(
  to: Receiver,
  read: (ask: (path: string, parameters: URLSearchParams) => Promise<Response>) => Promise<Ended>,
  base: string,
  token: string,
): Link {
  const abort = new AbortController()
  let takesForms = true
  const ask = async (path: string, parameters: URLSearchParams) => {
    const query = `${parameters}`
    const init: RequestInit = { headers: { authorization: `Bearer ${token}` }, signal: abort.signal, cache: 'no-store' }
    if (takesForms && query.length > QUERY) {
      const answer = await fetch(base + path, { ...init, method: 'POST', body: parameters })
      if (answer.status !== 405) return answer
      // A gateway that knows no forms yet: it has room for what fits into its URL, and says so by name when that is too long.
      takesForms = false
    }
    return fetch(`${base}${path}?${query}`, init)
  }
  read(ask)
    .catch((error) => end('retry', 'network', `${error?.message ?? error}`, undefined, false))
    .then((how) => abort.signal.aborted || to.ended(how))
  return { send() {}, close: () => abort.abort() }
}

function eventStream(base: string, hello: Hello, to: Receiver): Link {
  return reading(
    to,
    async (ask) => {
      const answer = await ask('/v1/sse', parametersOf(hello))
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

function polls(base: string, hello: Hello, to: Receiver): Link {
  return reading(
    to,
    async (ask) => {
      let cursor = hello.cursor
      for (let first = true; ; first = false) {
        const answer = await ask('/v1/poll', parametersOf({ ...hello, cursor }, { wait: first ? 0 : 25 }))
        if (!answer.ok) return endOfAnswer(answer)
        const { events, seq, epoch, reset } = await answer.json()
        if (first) {
          const { sub, tenant, tenants } = claims(hello.token)
          const of = hello.tenant ?? tenant ?? Object.keys(tenants ?? {})[0]
          const roles = rolesOf(hello.token, of)
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

export const listen = (transport: 'sse' | 'poll', base: string, hello: Hello, to: Receiver): Link =>
  (transport === 'sse' ? eventStream : polls)(base, hello, to)

/** Says something beside a stream or polls. Never rejects. */
export async function command(
  { base, tenant, device }: { base: string; tenant?: string | undefined; device?: string | undefined },
  token: string,
  frame: object,
): Promise<Frame | CarillonError> {
  const parameters = new URLSearchParams({ ...(tenant && { tenant }), ...(device && { device }) })
  try {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(`${base}/v1/commands?${parameters}`, { method: 'POST', headers, body: JSON.stringify(frame) })
    const body = await answer.json()
    return answer.ok ? body : errorOf({ type: 'error', message: body.detail, ...body })
  } catch (cause) {
    return new CarillonError('network', 'the command got no answer', { cause })
  }
}
