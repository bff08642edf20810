// Does the inbox come to be right by itself after the log was busy?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Client } from '../src/index.js'
import { FakeServer } from './fake-server.js'

let server: FakeServer
let client: Client
/** Answers of the inbox, by kind. */
let asked: string[]
/** Only what is asked for with this path. */
let refused: string | null
let refusal: { status: number; after?: string } | 'network' | 'page' | null

beforeEach(() => {
  vi.useFakeTimers()
  server = new FakeServer()
  ;[asked, refusal, refused] = [[], null, null]
  client = server.client()
  vi.stubGlobal('fetch', async (url: URL) => {
    asked.push(url.pathname)
    if (refused && `${url.pathname}${url.search}`.includes(refused)) return Response.json({ code: 'busy' }, { status: 503 })
    if (refusal === 'page') return new Response('<h1>Not here</h1>', { status: 404 })
    if (refusal === 'network') throw new TypeError('failed to fetch')
    if (refusal) {
      const { status, after } = refusal
      return Response.json({ code: 'busy' }, { status, headers: after ? { 'retry-after': after } : {} })
    }
    const counts = { version: 1, unread: 1, unseen: 1 }
    const item = { seq: 1, title: 'news', read: false, archived: false }
    return Response.json(url.pathname.endsWith('summary') ? counts : { ...counts, items: [item], next: null, epoch: 'e' })
  })
})
afterEach(() => {
  server.close()
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

/** Time goes by on a connection that is never silent. */
async function pass(milliseconds: number) {
  for (let left = milliseconds; left > 0; left -= 10_000) {
    server.emit('tenant')
    await vi.advanceTimersByTimeAsync(Math.min(left, 10_000))
  }
}

test('one list that is refused makes no storm of those that are answered', async () => {
  refused = '/v1/inbox?filter=unread'
  for (const filter of ['all', 'unread'] as const) client.inbox.list({ filter }).on(() => {})
  await vi.dynamicImportSettled()
  await pass(600_000)
  expect(asked.filter((path) => path.endsWith('summary')).length).toBeLessThan(30)
})

const summaries = () => asked.filter((path) => path.endsWith('summary')).length

for (const busy of [{ status: 503 }, { status: 429, after: '1' }, 'network'] as const)
  test(`what was answered with ${JSON.stringify(busy)} is asked for again, more and more seldom, until it is there`, async () => {
    refusal = busy
    const list = client.inbox.list()
    list.on(() => {})
    client.inbox.onSummary(() => {})
    await vi.dynamicImportSettled()
    await pass(1_000)
    expect([list.snapshot.status, client.inbox.summary]).toEqual(['failed', null])
    const first = summaries()
    await pass(600_000)
    const again = summaries() - first
    expect(again, 'within ten minutes').toBeGreaterThan(10)
    expect(again).toBeLessThan(30)
    refusal = null
    await pass(61_000)
    expect([list.snapshot.status, list.snapshot.items.length, client.inbox.summary?.unread]).toEqual(['live', 1, 1])
    asked = []
    await pass(600_000)
    expect(asked, 'nothing is asked for that is there').toEqual([])
  })

test('a closed client asks for nothing more and says so, and its inbox is right again once it is connected', async () => {
  refusal = { status: 503 }
  const list = client.inbox.list()
  list.on(() => {})
  client.inbox.onSummary(() => {})
  await vi.dynamicImportSettled()
  await pass(1_000)
  expect(list.snapshot).toMatchObject({ status: 'failed', error: { status: 503 } })
  client.close()
  asked = []
  await pass(600_000)
  expect(asked).toEqual([])
  const closed = { code: 'closed', message: 'close()' }
  expect(list.snapshot).toMatchObject({ status: 'failed', error: closed })
  const calls = await Promise.allSettled([
    client.inbox.read(1),
    client.inbox.page(),
    client.preferences.get(),
    client.channel('a').history(),
    client.request('GET', '/v1/inbox'),
    client.publish('a', 'x'),
    client.activity('looked'),
  ])
  for (const call of calls) expect(call).toMatchObject({ status: 'rejected', reason: closed })
  await pass(10_000)
  expect([client.state.status, asked, server.sockets]).toEqual(['closed', [], []])
  refusal = null
  client.connect()
  await pass(1_000)
  expect([list.snapshot.status, list.snapshot.error, client.inbox.summary?.unread]).toEqual(['live', null, 1])
})

test('not before the server says, and not what is refused for good, nor when nobody looks any more', async () => {
  refusal = { status: 503, after: '30' }
  const ends = [client.inbox.onSummary(() => {})]
  await vi.dynamicImportSettled()
  await pass(29_000)
  const early = summaries()
  await pass(3_000)
  expect(summaries()).toBe(early + 1)
  for (const good of [{ status: 403 }, 'page'] as const) {
    refusal = good
    ends.push(client.inbox.list({ type: JSON.stringify(good) }).on(() => {}))
    await pass(61_000)
    asked = []
    await pass(600_000)
    expect(asked, 'refused for good').toEqual([])
  }
  refusal = { status: 503 }
  const list = client.inbox.list()
  ends.push(list.on(() => {}))
  await pass(1_000)
  expect(list.snapshot.status).toBe('failed')
  for (const end of ends) end()
  asked = []
  await pass(600_000)
  expect(asked).toEqual([])
})
