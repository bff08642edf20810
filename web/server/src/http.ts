// How is one request sent until it is answered, and what does the answer mean?

import { type CarillonError, errorOf, type Fault, type Problem } from './errors.js'
import { mayRetry, pauseMs, type RetryPolicy, retryAfterMs, wait } from './retry.js'

export interface Sender {
  fetch: typeof globalThis.fetch
  retry: RetryPolicy
  /** How long one attempt may take. Milliseconds. */
  timeoutMs: number
}

/** Sends `body` as JSON until it is answered 2xx; the parsed answer. */
export async function ask(
  sender: Sender,
  url: string,
  headers: Record<string, string>,
  body: string | null,
  signal?: AbortSignal,
): Promise<unknown> {
  const began = Date.now()
  for (let attempt = 1; ; attempt += 1) {
    signal?.throwIfAborted()
    const outcome = await once(sender, url, headers, body, attempt, signal)
    if ('answer' in outcome) return outcome.answer
    const { error } = outcome
    const pause = mayRetry(error.status)
      ? pauseMs(sender.retry, attempt, Date.now() - began, error.retryAfterMs, Math.random())
      : undefined
    if (pause === undefined) throw error
    await wait(pause, signal)
  }
}

type Outcome = { answer: unknown } | { error: CarillonError }

async function once(
  sender: Sender,
  url: string,
  headers: Record<string, string>,
  body: string | null,
  attempts: number,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const mine = new AbortController()
  const end = () => mine.abort(signal?.reason)
  signal?.addEventListener('abort', end, { once: true })
  const timer = setTimeout(() => mine.abort(new Error(`no answer within ${sender.timeoutMs} ms`)), sender.timeoutMs)
  try {
    const response = await sender.fetch(url, {
      ...(body === null
        ? { method: 'GET', headers }
        : { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body }),
      signal: mine.signal,
      redirect: 'manual',
    })
    const text = await response.text()
    if (!response.ok) return { error: errorOf(problemOf(response, text, attempts)) }
    try {
      return { answer: JSON.parse(text) }
    } catch (cause) {
      return { error: errorOf(nothing('answer_unreadable', 'the answer is no JSON', attempts), { cause }) }
    }
  } catch (cause) {
    signal?.throwIfAborted()
    const why = cause instanceof Error ? cause.message : String(cause)
    return { error: errorOf(nothing('connection_failed', `no answer from ${new URL(url).origin}: ${why}`, attempts), { cause }) }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', end)
  }
}

function nothing(code: string, detail: string, attempts: number): Problem {
  return { code, status: 0, title: detail, detail, errors: [], attempts }
}

/** What an answer says that is not 2xx; proxies answer without a problem document. */
function problemOf(response: Response, text: string, attempts: number): Problem {
  const asked = retryAfterMs(response.headers.get('retry-after'), Date.now())
  const said = membersOf(text)
  const text_ = (name: string) => (typeof said[name] === 'string' ? said[name] : undefined)
  const detail = text_('detail')
  const requestId = text_('request_id') ?? response.headers.get('x-request-id')
  return {
    code: text_('code') ?? `http_${response.status}`,
    status: response.status,
    title: text_('title') ?? (response.statusText || `status ${response.status}`),
    errors: Array.isArray(said.errors) ? (said.errors as Fault[]) : [],
    attempts,
    ...(detail !== undefined && { detail }),
    ...(requestId != null && { requestId }),
    ...(asked !== undefined && { retryAfterMs: asked }),
  }
}

function membersOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
