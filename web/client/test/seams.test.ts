// Do rows that follow the events miss none where listening begins: in a channel that was joined long ago, or with rows that are older?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../../testing/stack.js'
import type { Client } from '../src/index.js'
import { FakeServer } from './fake-server.js'

let server: FakeServer
let client: Client
/** The log as the publisher has it: up to here. */
let head: () => number
let reads: number

beforeEach(async () => {
  server = new FakeServer()
  client = server.client()
  head = () => server.seq
  reads = 0
  vi.stubGlobal('fetch', async (url: URL) => {
    reads += 1
    const after = Number(url.searchParams.get('after'))
    const events = []
    for (let seq = after + 1; seq <= head(); seq++) events.push(server.event(seq, ['a']))
    return Response.json({ events, next: null }, { headers: { 'carillon-position': `e:${head()}` } })
  })
  client.channel('a').join()
  await client.channel('a').ready()
})
afterEach(() => {
  server.close()
  vi.unstubAllGlobals()
})

const rows = (load: () => number) => ({
  load: async () => ({ value: [] as number[], position: `e:${load()}` }),
  apply: (value: number[], event: { seq: number }) => [...value, event.seq],
})
const isLive = (live: { snapshot: { status: string } }) => until('live', () => live.snapshot.status === 'live')

test('rows that are shown again have the events of the time between', async () => {
  const live = client.channel('a').state<number[]>(rows(() => server.seq))
  const off = live.on(() => {})
  await isLive(live)
  server.emit('a')
  off()
  server.emit('a')
  server.emit('a')
  live.on(() => {})
  await until('the events between', () => live.snapshot.value?.length === 3)
  server.emit('a')
  expect(live.snapshot.value).toEqual([101, 102, 103, 104])
})

test('rows that a server rendered before the last events are brought up to them', async () => {
  for (let n = 0; n < 5; n++) server.emit('a')
  const { load, apply } = rows(() => expect.unreachable())
  const live = client.channel('a').state<number[]>({ load, apply, initial: { value: [102], position: 'e:102' } })
  live.on(() => {})
  await until('what came since', () => live.snapshot.value?.at(-1) === 105)
  server.emit('a')
  expect(live.snapshot.value).toEqual([102, 103, 104, 105, 106])
})

test('rows whose position is a little older than the stream, and a publisher that is behind the gateway', async () => {
  server.emit('a')
  server.emit('a')
  let behind = 2
  head = () => server.seq - (behind > 0 ? behind-- : 0)
  const live = client.channel('a').state<number[]>(rows(() => 101))
  live.on(() => {})
  await isLive(live)
  expect(live.snapshot.value).toEqual([102])
  await live.reload()
  expect(live.snapshot.value).toEqual([102])
  expect(reads).toBeGreaterThan(2)
})

test('an answer without its position, as a proxy may leave it, is asked for seven times and not for ever', async () => {
  server.emit('a')
  vi.stubGlobal('fetch', async () => {
    reads += 1
    return Response.json({ events: [], next: null })
  })
  await expect(client.channel('a').history({ since: 'e:100' })).resolves.toMatchObject({ events: [] })
  expect(reads).toBe(1)
  const live = client.channel('a').state<number[]>(rows(() => 100))
  const off = live.on(() => {})
  await until('it has failed', () => live.snapshot.status === 'failed', 15_000)
  expect([live.snapshot.error, reads]).toMatchObject([{ code: 'behind' }, 8])
  off()
})

test('a publisher that never comes up to the gateway is asked seven times, then it is told', async () => {
  const errors: string[] = []
  client.onError(({ code }) => errors.push(code))
  server.emit('a')
  head = () => 0
  const got: number[] = []
  client.channel('a').on('*', (event) => void got.push(event.seq), { history: 10 })
  await until('the first read', () => reads > 0)
  server.emit('a')
  await until('it is told', () => errors.includes('behind'), 15_000)
  expect(reads).toBe(7)
  await until('what came meanwhile', () => got.includes(102))
})
