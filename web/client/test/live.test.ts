// Does live state find its channels, and load its rows while they are of use?

import { afterEach, expect, test, vi } from 'vitest'
import { createClient } from '../src/index.js'
import { FakeServer } from './fake-server.js'

afterEach(() => {
  vi.useRealTimers()
})

test('live state joins channels that nobody has named before', () => {
  const client = createClient({ url: 'http://127.0.0.1:9', getToken: () => null, autoConnect: false })
  const live = client.live({
    channels: ['staff', 'branch:1'],
    load: async () => ({ value: [], position: '0:1' }),
    apply: (value) => value,
  })
  const off = live.on(() => {})
  expect(live.snapshot.status).toBe('loading')
  off()
  client.close()
})

test('rows that cannot be loaded are loaded again, but not for a client that is closed; when it is back, at once', async () => {
  vi.useFakeTimers()
  const server = new FakeServer()
  const client = server.client()
  let [loads, fails] = [0, true]
  const live = client.live({
    async load() {
      loads++
      if (fails) throw new Error('the back end is away')
      return { value: 'rows', position: `e:${server.seq}` }
    },
    apply: (value: string) => value,
  })
  live.on(() => {})
  await vi.dynamicImportSettled()
  await vi.advanceTimersByTimeAsync(10_000)
  expect([live.snapshot.status, loads >= 3]).toEqual(['failed', true])
  client.close()
  // One that was waited for already.
  await vi.advanceTimersByTimeAsync(30_000)
  const before = loads
  await vi.advanceTimersByTimeAsync(600_000)
  expect([live.snapshot.status, loads - before]).toEqual(['failed', 0])
  fails = false
  client.connect()
  await vi.advanceTimersByTimeAsync(100)
  expect(live.snapshot).toMatchObject({ status: 'live', value: 'rows' })
  server.close()
})
