// Does one channel that is refused, or that nobody can decide about now, leave the others as they are?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../../testing/stack.js'
import { FakeServer, tokenOf } from './fake-server.js'

let server: FakeServer
beforeEach(() => {
  server = new FakeServer()
})
afterEach(() => {
  server.close()
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

test('over an event stream: a channel that is refused later is told by name, and the stream goes on with the others', async () => {
  const asked: string[] = []
  vi.stubGlobal('WebSocket', undefined)
  vi.stubGlobal('fetch', async (address: string, { signal }: { signal: AbortSignal }) => {
    const channels = new URL(address).searchParams.get('channels') ?? ''
    asked.push(channels)
    if (channels.includes('bad')) return Response.json({ code: 'forbidden', detail: 'no', channels: ['bad'] }, { status: 403 })
    const welcome = { type: 'welcome', connection: 'c', tenant: 't', user: 'anna', seq: 100, epoch: 'e', heartbeat_ms: 25_000 }
    const body = new ReadableStream({
      start(to) {
        to.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(welcome)}\n\n`))
        signal.addEventListener('abort', () => to.error(new Error('aborted')))
      },
    })
    return new Response(body)
  })
  const client = server.client({ WebSocket: undefined })
  const states: string[] = []
  client.onState(({ status }) => states.push(status))
  client.channel('a').on('*', () => {})
  await client.ready()
  // Another channel is another stream; nobody sees that it was made anew.
  states.length = 0
  client.channel('b').on('*', () => {})
  await client.channel('b').ready()
  expect(new Set(states)).toEqual(new Set(['open']))
  client.channel('bad').on('*', () => {})
  await expect(client.channel('bad').ready()).rejects.toMatchObject({ code: 'forbidden' })
  await until('the others go on', () => client.state.status === 'open' && asked.at(-1) === 'a,b')
  expect(client.channel('a').error).toBeNull()
})

test('a channel that is refused at the start does not end the resuming of the others', async () => {
  server.forbidden.add('bad')
  const client = server.client()
  const [got, resyncs] = [[] as number[], [] as string[]]
  client.onResync(({ reason }) => resyncs.push(reason))
  client.channel('a').on('*', (event) => void got.push(event.seq))
  client.channel('bad').on('*', () => expect.unreachable())
  await client.channel('a').ready()
  for (const round of [1, 2]) {
    server.emit('a')
    server.cut(2)
    await until('the events that were missed', () => got.length === 3 * round)
    expect(server.sent('auth').at(-1)!.channels).toEqual(['a'])
  }
  expect(got).toEqual([101, 102, 103, 104, 105, 106])
  expect(resyncs).toEqual([])
})

test('a channel without a verdict is asked for ever more seldom, and what was missed is told once, when it is joined', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date', 'performance'] })
  const client = server.client({ getToken: () => tokenOf('anna') })
  client.connect()
  await vi.advanceTimersByTimeAsync(50)
  expect(client.state.status).toBe('open')
  const resyncs: string[] = []
  client.onResync(({ reason }) => resyncs.push(reason))
  server.answer = ({ type }) => (type === 'subscribe' ? { type: 'error', code: 'unavailable', message: 'no verdict' } : undefined)
  client.channel('ask').join()
  await vi.advanceTimersByTimeAsync(300_000)
  // Each 5 s it would be sixty times.
  expect(server.sent('subscribe').length).toBeGreaterThan(6)
  expect(server.sent('subscribe').length).toBeLessThan(16)
  expect(resyncs).toEqual([])
  server.answer = () => undefined
  await vi.advanceTimersByTimeAsync(61_000)
  expect(client.channel('ask').error).toBeNull()
  await vi.advanceTimersByTimeAsync(300_000)
  expect(resyncs).toEqual(['channels_unavailable'])
})

test('the types that were chosen are said in every subscribe, also in the one that asks who is there', async () => {
  const client = server.client({ types: ['order.*'] })
  client.connect()
  await client.ready()
  client.channel('a').presence.on(() => {})
  await client.channel('a').ready()
  await until('both', () => server.sent('subscribe').length === 2)
  expect(server.sent('subscribe').map(({ types, presence }) => [types, presence])).toEqual([
    [['order.*'], undefined],
    [['order.*'], true],
  ])
})

test('what the past has already is not told again when the connection hears of it later', async () => {
  const past = [101, 102, 103].map((seq) => ({ ...server.event(seq, ['a']), channels: ['a'] }))
  vi.stubGlobal('fetch', async () =>
    Response.json({ events: [...past].reverse(), next: null }, { headers: { 'carillon-position': 'e:103' } }),
  )
  const client = server.client()
  const got: unknown[] = []
  client.channel('a').on('*', ({ seq, replay }) => void got.push([seq, !!replay]), { history: 10 })
  await until('the past', () => got.length === 3)
  for (let n = 0; n < 5; n++) server.emit('a')
  await until('what is new', () => got.length >= 5)
  expect(got).toEqual([
    [101, true],
    [102, true],
    [103, true],
    [104, false],
    [105, false],
  ])
})
