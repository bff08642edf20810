/** How are requests sent to the REST half, and what do its refusals become? */

import { CarillonError } from './errors.js'
import { parsePosition } from './position.js'
import type { Tokens } from './tokens.js'
import type { RequestOptions, RestAnswer } from './types.js'

const TIMEOUT_MS = 30_000
/** When what got no answer, or one of a server that is busy, is worth another try, if the server does not say. */
const RETRY_MS = 1_000

/** A token that was refused is asked for anew, once. */
export async function request<Answer>(
  api: string,
  tenant: string | undefined,
  /** Rejects once the call is nobody's any more. */
  tokenFor: Tokens['get'],
  method: string,
  path: string,
  options: RequestOptions = {},
  again = false,
): Promise<RestAnswer<Answer>> {
  // Behind the name of a host anything else might be a part of it.
  if (!path.startsWith('/')) throw new CarillonError('invalid_path', `a path begins with '/': ${path}`)
  const url = new URL(api.replace(/\/+$/, '') + path)
  for (const [name, value] of Object.entries({ tenant, ...options.query }))
    if (value != null) url.searchParams.set(name, `${value}`)
  const token = await tokenFor(again ? 'refused' : 'connect')
  const headers: Record<string, string> = { authorization: `Bearer ${token}`, ...options.headers }
  if (options.body !== undefined) headers['content-type'] = 'application/json'
  const late = AbortSignal.timeout(TIMEOUT_MS)
  let answer: Response
  let text: string
  try {
    answer = await fetch(url, {
      method,
      headers,
      cache: 'no-store',
      signal: options.signal ? AbortSignal.any([options.signal, late]) : late,
      ...(options.body !== undefined && { body: JSON.stringify(options.body) }),
    })
    text = await answer.text()
  } catch (cause) {
    const code = options.signal?.aborted ? 'aborted' : late.aborted ? 'timeout' : 'network'
    throw new CarillonError(code, `${method} ${path} got no answer`, { cause, ...(code !== 'aborted' && { retryMs: RETRY_MS }) })
  }
  const { status } = answer
  let body = null
  try {
    body = text ? JSON.parse(text) : null
  } catch (cause) {
    // A page of somebody in between.
    if (answer.ok)
      throw new CarillonError('invalid_answer', `${method} ${path} was answered with something else than JSON`, { cause })
  }
  if (answer.ok || status === 304) {
    const position = parsePosition(answer.headers.get('carillon-position'))
    return { status, body, position, etag: answer.headers.get('etag') }
  }
  if (status === 401 && !again) return request(api, tenant, tokenFor, method, path, options, true)
  const retryMs = Number(answer.headers.get('retry-after')) * 1000 || (status > 499 && RETRY_MS)
  throw new CarillonError(body?.code ?? `http_${status}`, body?.detail ?? `${method} ${path} was answered with ${status}`, {
    status,
    ...(retryMs && { retryMs }),
    ...(body?.channels && { channels: body.channels }),
    ...(body?.errors && { errors: body.errors }),
  })
}
