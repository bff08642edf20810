// Does publishing send what it should, again only where it may, and say what was refused?

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  Carillon,
  CarillonError,
  ForbiddenError,
  InvalidRequestError,
  RateLimitedError,
  UnauthorizedError,
  UnavailableError,
} from '../src/index.js'

interface Sent {
  url: string
  headers: Record<string, string>
  body: Record<string, unknown> & Record<string, unknown>[]
}

type Answer = Response | Error | 'silence'

/** An installation that answers in turn as told, and remembers what it was sent. */
function installation(...answers: Answer[]) {
  const sent: Sent[] = []
  const fetch = async (url: RequestInfo | URL, init?: RequestInit): Promise<Response> => {
    sent.push({ url: String(url), headers: init?.headers as Record<string, string>, body: JSON.parse(String(init?.body)) })
    const answer = answers.shift() ?? new Error('nothing more was expected')
    if (answer instanceof Error) throw answer
    if (answer !== 'silence') return answer
    return new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason)))
  }
  return { sent, fetch }
}

const receipt = (seq = 1) => Response.json({ id: 'e-1', seq, epoch: 'a' }, { status: 201 })
const problem = (status: number, code: string, more: object = {}, headers: Record<string, string> = {}) =>
  new Response(JSON.stringify({ type: 'about:blank', title: code, status, code, request_id: 'r-1', ...more }), {
    status,
    headers: { 'content-type': 'application/problem+json', ...headers },
  })

const client = (fetch: typeof globalThis.fetch, more: object = {}) =>
  new Carillon({ url: 'https://events.example.com/', apiKey: 'crln_a_b', fetch, ...more })

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** Lets all pauses pass; how long they were in all. */
async function settle<T>(promise: Promise<T>): Promise<{ value?: T; error?: unknown; ms: number }> {
  const began = Date.now()
  const outcome = promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  )
  await vi.runAllTimersAsync()
  return { ...(await outcome), ms: Date.now() - began }
}

describe('what is sent', () => {
  test('one event: with the key, the tenant and an id of its own', async () => {
    const { sent, fetch } = installation(receipt(7))
    const { value } = await settle(
      client(fetch, { tenant: 'acme' }).publish({ type: 'order.paid', channel: 'order:7', data: { total: 12 } }),
    )
    expect(value).toEqual({ id: 'e-1', seq: 7, epoch: 'a' })
    expect(sent[0]?.url).toBe('https://events.example.com/v1/events')
    expect(sent[0]?.headers).toEqual({ authorization: 'Bearer crln_a_b', 'content-type': 'application/json' })
    expect(sent[0]?.body).toEqual({
      tenant: 'acme',
      id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
      type: 'order.paid',
      channel: 'order:7',
      data: { total: 12 },
    })
  })

  test('many events are one array; an id, a tenant and a time that were given stay', async () => {
    const { sent, fetch } = installation(Response.json([{}, {}], { status: 201 }))
    await settle(
      client(fetch, { tenant: 'acme' }).publish([
        { type: 'a', channel: 'x', id: 'mine', tenant: 'other', time: new Date(0) },
        { type: 'b', channel: 'x', id: undefined as never },
      ]),
    )
    expect(sent[0]?.body[0]).toEqual({ type: 'a', channel: 'x', id: 'mine', tenant: 'other', time: '1970-01-01T00:00:00.000Z' })
    expect(sent[0]?.body[1]?.id).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('an idempotency key takes the place of the id; the own connection is named', async () => {
    const { sent, fetch } = installation(receipt())
    await settle(client(fetch).publish({ type: 'a', channel: 'x' }, { idempotencyKey: 'k-1', connection: 'gateway-1-a' }))
    expect(sent[0]?.headers).toMatchObject({ 'idempotency-key': 'k-1', 'x-carillon-connection': 'gateway-1-a' })
    expect(sent[0]?.body).toEqual({ type: 'a', channel: 'x' })
  })

  test('null data deletes a latest value: it is sent', async () => {
    const { sent, fetch } = installation(receipt())
    await settle(client(fetch).publish({ type: 'a', channel: 'x', key: 'k', data: null }))
    expect(sent[0]?.body).toHaveProperty('data', null)
  })

  test('a notice, and a ticket with the token of the user', async () => {
    const { sent, fetch } = installation(receipt(), Response.json({ ticket: 'crlt_x', expires_in: 30 }, { status: 201 }))
    const carillon = client(fetch, { tenant: 'school 1' })
    await settle(carillon.notice({ title: 'Fees are due', audience: { roles: ['parent'] }, expires_at: new Date(0) }))
    const { value } = await settle(carillon.ticket('ey.token'))
    expect(sent[0]).toMatchObject({
      url: 'https://events.example.com/v1/notices',
      body: { title: 'Fees are due', audience: { roles: ['parent'] }, expires_at: '1970-01-01T00:00:00.000Z' },
    })
    expect(sent[1]).toMatchObject({
      url: 'https://events.example.com/v1/tickets?tenant=school%201',
      headers: { authorization: 'Bearer ey.token' },
      body: {},
    })
    expect(value).toEqual({ ticket: 'crlt_x', expires_in: 30 })
  })

  test('options that cannot work are refused at once', () => {
    expect(() => new Carillon({ url: 'wss://events.example.com', apiKey: 'crln_a_b' })).toThrow(/use https/)
    expect(() => new Carillon({ url: 'https://events.example.com', apiKey: 'ey.token' })).toThrow(/begins with crln_/)
  })
})

describe('what is sent again', () => {
  test('429, 503, a proxy that has no upstream and a lost answer: the same bytes, until it is stored', async () => {
    const { sent, fetch } = installation(
      problem(429, 'tenant_share_full'),
      problem(503, 'unavailable'),
      new Response('<html>', { status: 502 }),
      new TypeError('fetch failed'),
      receipt(9),
    )
    const { value } = await settle(client(fetch).publish([{ type: 'a', channel: 'x' }]))
    expect(value).toMatchObject({ seq: 9 })
    expect(sent).toHaveLength(5)
    expect(new Set(sent.map((one) => JSON.stringify(one.body))).size).toBe(1)
  })

  test('Retry-After is waited in full, in seconds and as a date', async () => {
    const soon = installation(problem(503, 'overloaded', {}, { 'retry-after': '3' }), receipt())
    const seconds = await settle(client(soon.fetch).publish({ type: 'a', channel: 'x' }))
    expect(seconds.ms).toBeGreaterThanOrEqual(3000)
    expect(seconds.ms).toBeLessThan(3500)
    const date = installation(
      problem(503, 'overloaded', {}, { 'retry-after': new Date(Date.now() + 5000).toUTCString() }),
      receipt(),
    )
    expect((await settle(client(date.fetch).publish({ type: 'a', channel: 'x' }))).ms).toBeGreaterThanOrEqual(4000)
  })

  test('those that were refused together do not come back together', async () => {
    const pauses = new Set<number>()
    for (let n = 0; n < 20; n += 1) {
      const { fetch } = installation(problem(429, 'rate_limited', {}, { 'retry-after': '1' }), receipt())
      pauses.add(Math.round((await settle(client(fetch).publish({ type: 'a', channel: 'x' }))).ms / 10))
    }
    expect(pauses.size).toBeGreaterThan(5)
  })

  test('an answer that does not come in time is asked for again', async () => {
    const { sent, fetch } = installation('silence', receipt())
    const { value } = await settle(client(fetch, { timeoutMs: 2000 }).publish({ type: 'a', channel: 'x' }))
    expect(value).toMatchObject({ seq: 1 })
    expect(sent[0]?.body).toEqual(sent[1]?.body)
  })

  test('not without end: the last error is thrown, and says how often', async () => {
    const busy = () => problem(503, 'tenant_busy', { detail: 'another transaction holds it' }, { 'retry-after': '1' })
    const { sent, fetch } = installation(...Array.from({ length: 9 }, busy))
    const { error } = await settle(client(fetch).publish({ type: 'a', channel: 'x' }))
    expect(sent).toHaveLength(6)
    expect(error).toBeInstanceOf(UnavailableError)
    expect(error).toMatchObject({
      code: 'tenant_busy',
      attempts: 6,
      retryAfterMs: 1000,
      requestId: 'r-1',
      message: 'tenant_busy: another transaction holds it',
    })
  })

  test('a wait that is longer than all retries may take is not begun', async () => {
    const { sent, fetch } = installation(problem(429, 'rate_limited', {}, { 'retry-after': '3600' }))
    const { error, ms } = await settle(client(fetch).publish({ type: 'a', channel: 'x' }))
    expect([sent.length, ms]).toEqual([1, 0])
    expect(error).toBeInstanceOf(RateLimitedError)
  })

  test('a signal ends the request, and the pause before the next', async () => {
    const ending = new AbortController()
    const first = installation('silence')
    const published = client(first.fetch).publish({ type: 'a', channel: 'x' }, { signal: ending.signal })
    setTimeout(() => ending.abort(new Error('the user left')), 100)
    expect((await settle(published)).error).toEqual(new Error('the user left'))

    const later = new AbortController()
    const second = installation(problem(503, 'overloaded', {}, { 'retry-after': '5' }))
    const waiting = client(second.fetch).publish({ type: 'a', channel: 'x' }, { signal: later.signal })
    setTimeout(() => later.abort(new Error('the user left')), 100)
    expect(await settle(waiting)).toMatchObject({ error: new Error('the user left'), ms: 100 })
  })
})

describe('what is refused for good', () => {
  test.each([
    [401, 'credentials_invalid', UnauthorizedError],
    [403, 'missing_scope', ForbiddenError],
    [413, 'body_too_large', InvalidRequestError],
    [422, 'idempotency_mismatch', InvalidRequestError],
    [500, 'internal', CarillonError],
  ])('%i %s is thrown by its type, and sent once', async (status, code, type) => {
    const { sent, fetch } = installation(problem(status, code))
    const { error } = await settle(client(fetch).publish({ type: 'a', channel: 'x' }))
    expect(error).toBeInstanceOf(type)
    expect(error).toMatchObject({ code, status, attempts: 1 })
    expect(sent).toHaveLength(1)
  })

  test('every fault is told, with its place', async () => {
    const errors = [
      { pointer: '/type', code: 'required', detail: 'is required' },
      { pointer: '/channels/0', code: 'invalid', detail: 'is no channel' },
    ]
    const { fetch } = installation(problem(422, 'validation', { detail: 'two faults', errors }))
    const { error } = await settle(client(fetch).publish({ type: '', channel: ' ' }))
    expect(error).toMatchObject({ errors, message: 'validation: two faults; /type is required; /channels/0 is no channel' })
  })

  test('a page where an installation should be is no receipt', async () => {
    const { fetch } = installation(...Array.from({ length: 6 }, () => new Response('<html>Welcome</html>', { status: 200 })))
    expect((await settle(client(fetch).publish({ type: 'a', channel: 'x' }))).error).toMatchObject({ code: 'answer_unreadable' })
    const moved = installation(new Response('', { status: 302, headers: { location: 'https://elsewhere.example.com' } }))
    expect((await settle(client(moved.fetch).publish({ type: 'a', channel: 'x' }))).error).toMatchObject({
      code: 'http_302',
      status: 302,
    })
  })
})
