// How are requests sent to the REST API?

import { type Fault, Problem } from './problem.js'
import { routeNow } from './route.js'
import { credential, expire, turn } from './session.js'

/** Longest wait for an answer: the publisher itself gives up after 20 s. */
const TIMEOUT_MS = 21_000

type Value = string | number | boolean | null | undefined

export interface CallOptions {
  /** The tenant that is chosen is added; `tenant: null` leaves it out. */
  readonly query?: Readonly<Record<string, Value>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** These statuses are answers and no problems: 503 of `/v1/health`, say. */
  readonly also?: readonly number[]
  readonly timeout?: number
  /** An API key for this request alone: what a session may not do. */
  readonly key?: string
}

export interface Answered<Body> {
  readonly status: number
  readonly body: Body
  readonly headers: Headers
}

/** Sends a request with the credentials of the session. Rejects with a `Problem` and nothing else. */
export async function call<Body>(method: string, path: string, options: CallOptions = {}): Promise<Answered<Body>> {
  const url = new URL(path, location.origin)
  const query = { tenant: routeNow().query.get('tenant'), ...options.query }
  for (const [name, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== '') url.searchParams.set(name, `${value}`)
  // The header is what makes the publisher look at the session's cookie: a form or a page of somebody else cannot send it.
  const headers: Record<string, string> = { 'carillon-console': '1', ...options.headers }
  const own = options.key ?? credential()
  const asked = turn()
  if (own) headers.authorization = `Bearer ${own}`
  if (options.body !== undefined) headers['content-type'] ??= 'application/json'
  const late = AbortSignal.timeout(options.timeout ?? TIMEOUT_MS)
  const signal = options.signal ? AbortSignal.any([options.signal, late]) : late
  const body = options.body === undefined ? null : JSON.stringify(options.body)
  let answer: Response
  let text: string
  try {
    answer = await fetch(url, { method, headers, body, signal, cache: 'no-store', credentials: 'same-origin' })
    text = await answer.text()
  } catch {
    if (options.signal?.aborted) throw new Problem('aborted', 0, 'nobody waits for this any more')
    if (late.aborted) throw new Problem('timeout', 0, `${method} ${url.pathname} got no answer in time`)
    throw new Problem('network', 0, `${method} ${url.pathname} got no answer`)
  }
  const read = parsed(text)
  if (answer.ok || (options.also?.includes(answer.status) && read !== undefined && !isProblem(answer)))
    return { status: answer.status, body: read as Body, headers: answer.headers }
  const { code, detail, errors, request_id } = (read ?? {}) as {
    code?: string
    detail?: string
    errors?: Fault[]
    request_id?: string
  }
  const after = Number(answer.headers.get('retry-after'))
  const problem = new Problem(
    code ?? `http_${answer.status}`,
    answer.status,
    detail ?? `${method} ${url.pathname} was answered with ${answer.status}`,
    errors,
    request_id ?? answer.headers.get('x-request-id'),
    after ? after * 1000 : null,
  )
  // A key that is asked for once and was mistyped ends nothing.
  if (answer.status === 401 && options.key === undefined && !path.startsWith('/v1/console/')) expire(problem, asked)
  throw problem
}

const isProblem = (answer: Response) => answer.headers.get('content-type')?.startsWith('application/problem+json') ?? false

function parsed(text: string): unknown {
  if (!text) return null
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `GET`, and the body of its answer. */
export const get = async <Body>(path: string, options?: CallOptions) => (await call<Body>('GET', path, options)).body
