// Does the inbox come to be right by itself after the log was busy?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Client } from '../src/index.js'
import { FakeServer } from './fake-server.js'

let server: FakeServer
let client: Client
/** Answers of the inbox, by kind. */
let asked: string[]
let refusal: { status: number; after?: string } | 'network' | null

beforeEach(() => {
  vi.useFakeTimers()
  server = new FakeServer()
  ;[asked, refusal] = [[], null]
  client = server.client()
  vi.stubGlobal('fetch', async (url: URL) => {
    asked.push(url.pathname)
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

test('not before the server says, and not what is refused for good, nor when nobody looks any more', async () => {
  refusal = { status: 503, after: '30' }
  const stop = client.inbox.onSummary(() => {})
  await vi.dynamicImportSettled()
  await pass(29_000)
  const early = summaries()
  await pass(3_000)
  expect(summaries()).toBe(early + 1)
  refusal = { status: 403 }
  await pass(31_000)
  const refused = summaries()
  await pass(600_000)
  expect(summaries()).toBe(refused)
  refusal = { status: 503 }
  const list = client.inbox.list()
  const look = list.on(() => {})
  await pass(1_000)
  expect(list.snapshot.status).toBe('failed')
  for (const end of [stop, look]) end()
  asked = []
  await pass(600_000)
  expect(asked).toEqual([])
})
