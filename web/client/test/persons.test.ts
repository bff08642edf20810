// Does somebody who signs in see nothing of the person before, at once and for ever?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../../testing/stack.js'
import type { Client, LiveSnapshot } from '../src/index.js'
import { FakeServer, tokenOf } from './fake-server.js'

let server: FakeServer
let client: Client
let who: string
/** Calls over HTTP that have not been answered yet. */
let held: { path: string; answer(): void }[]
let isHeld: boolean
const versions: Record<string, number> = { anna: 200, bob: 3 }

beforeEach(() => {
  server = new FakeServer()
  ;[who, held, isHeld] = ['anna', [], false]
  client = server.client({ getToken: () => tokenOf(who) })
  vi.stubGlobal('fetch', async (url: URL, init: { headers: { authorization: string } }) => {
    const { sub } = JSON.parse(Buffer.from(init.headers.authorization.split('.')[1]!, 'base64url').toString())
    const counts = { version: versions[sub], unread: sub === 'anna' ? 7 : 1, unseen: 0 }
    const item = { seq: 1, title: `secret of ${sub}`, read: false, archived: false }
    if (isHeld) await new Promise<void>((answer) => held.push({ path: url.pathname, answer }))
    return Response.json(url.pathname.endsWith('summary') ? counts : { ...counts, items: [item], next: null, epoch: 'e' })
  })
})
afterEach(() => {
  server.close()
  vi.unstubAllGlobals()
})

test('the inbox shows nothing of the person before, and counts by the versions of the present one', async () => {
  const shown: string[][] = []
  const counts: number[] = []
  const list = client.inbox.list()
  list.on(({ items }) => shown.push(items.map(({ title }) => title)))
  client.inbox.onSummary(({ unread }) => counts.push(unread))
  await until('the inbox of anna', () => shown.at(-1)?.[0] === 'secret of anna' && client.inbox.summary?.version === 200)
  // Answers for her are under way while bob signs in.
  isHeld = true
  void list.reload()
  server.sockets[0]!.tell({ type: 'inbox', version: 210 })
  await until('both are asked for', () => held.some(({ path }) => path.endsWith('summary')) && held.length >= 2)
  who = 'bob'
  isHeld = false
  client.identify('bob')
  expect([shown.at(-1), list.snapshot.items, client.inbox.summary, counts.at(-1)]).toEqual([[], [], null, 0])
  for (const { answer } of held) answer()
  await until('the inbox of bob', () => shown.at(-1)?.[0] === 'secret of bob' && client.inbox.summary !== null)
  expect([list.snapshot.status, client.inbox.summary]).toEqual(['live', { version: 3, unread: 1, unseen: 0 }])
  expect(counts.slice(counts.indexOf(0))).toEqual([0, 1])
})

test('rows that are live are gone at once, and are loaded for the present person; also those nobody looks at', async () => {
  const options = {
    load: async () => ({ value: [`rows of ${who}`], position: `e:${server.seq}` }),
    apply: (rows: string[], event: { seq: number }) => [...rows, `${event.seq}`],
  }
  const [live, unseen] = [client.live<string[]>(options), client.live<string[]>(options)]
  const shown: LiveSnapshot<string[]>[] = []
  live.on((snapshot) => shown.push(snapshot))
  const off = unseen.on(() => {})
  await until('the rows of anna', () => live.snapshot.status === 'live' && unseen.snapshot.status === 'live')
  off()
  who = 'bob'
  client.identify('bob')
  for (const snapshot of [shown.at(-1), live.snapshot, unseen.snapshot])
    expect(snapshot).toMatchObject({ status: 'loading', value: undefined })
  await until('the rows of bob', () => live.snapshot.status === 'live')
  server.emit('tenant')
  expect(live.snapshot.value).toEqual(['rows of bob', '101'])
})

test('who is told that another person is here: by name, and that nobody is', async () => {
  const told: (string | null)[] = []
  client.onIdentify((person) => told.push(person))
  client.connect()
  await client.ready()
  expect(told).toEqual([])
  client.identify(null)
  who = 'bob'
  client.identify('bob')
  await client.ready()
  expect(told).toEqual([null, 'bob'])
  // Signed in elsewhere: the next token says so.
  who = 'mila'
  server.sockets[0]!.tell({ type: 'expiring', in_ms: 30_000 })
  await until('mila', () => told.length === 3 && client.state.status === 'open')
  expect([told[2], client.state]).toMatchObject(['mila', { identity: { user: 'mila' } }])
})

test('a call that was begun for the person before rejects, and is not sent with the token of the next', async () => {
  client.connect()
  await client.ready()
  isHeld = true
  const asked = client.request('GET', '/v1/inbox/summary')
  await until('it is under way', () => held.length === 1)
  const mark = client.request('POST', '/v1/inbox/1/read')
  who = 'bob'
  client.identify('bob')
  held[0]!.answer()
  await expect(asked).rejects.toMatchObject({ code: 'identity_changed' })
  await expect(mark).rejects.toMatchObject({ code: 'identity_changed' })
  expect(held).toHaveLength(1)
})

test('what was said of oneself and who was there are forgotten, and what waited for its past does not come', async () => {
  const room = client.channel('branch:1')
  const counts: number[] = []
  room.presence.on(({ count }) => counts.push(count))
  await room.ready()
  await room.presence.set({ desk: 4 })
  server.sockets[0]!.tell({ type: 'presence', channel: 'branch:1', sync: true, count: 1, members: [{ user: 'anna', since: 1 }] })
  await until('who is there', () => counts.at(-1) === 1)
  const got: number[] = []
  isHeld = true
  room.on('*', (event) => void got.push(event.seq), { history: 5 })
  await until('the past is asked for', () => held.length === 1)
  server.emit('branch:1')
  server.frames.length = 0
  who = 'bob'
  client.identify('bob')
  expect([counts.at(-1), room.presence.snapshot]).toEqual([0, { count: 0, members: [], stale: true, error: null }])
  held[0]!.answer()
  await client.ready()
  await room.ready()
  server.emit('branch:1')
  await until('the event for bob', () => got.length > 0)
  expect(got).toEqual([102])
  expect(server.sent('presence').filter(({ meta }) => meta !== undefined)).toEqual([])
})

test('how far the past was read for the person before says nothing of what comes for the next', async () => {
  const past = { ...server.event(101, ['branch:1']), channels: ['branch:1'] }
  vi.stubGlobal('fetch', async () => Response.json({ events: [past], next: null }, { headers: { 'carillon-position': 'e:103' } }))
  const room = client.channel('branch:1')
  const got: [number, boolean][] = []
  room.on('*', ({ seq, replay }) => void got.push([seq, !!replay]), { history: 5 })
  await until('the past', () => got.length === 1)
  who = 'bob'
  client.identify('bob')
  await client.ready()
  await room.ready()
  for (let n = 0; n < 4; n++) server.emit('branch:1')
  await until('the last event for bob', () => got.at(-1)?.[0] === 104)
  expect(got.slice(1).map(([seq]) => seq)).toEqual([101, 102, 103, 104])
})

test('a path without its slash sends the token to nobody', async () => {
  const asked = vi.fn()
  vi.stubGlobal('fetch', asked)
  await expect(client.request('GET', '.evil.example/v1/stats')).rejects.toMatchObject({ code: 'invalid_path' })
  expect(asked).not.toHaveBeenCalled()
})
