// Does the core keep events whole without the features, and does it have no others?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../../testing/stack.js'
import { createClient as createCore } from '../src/core.js'
import { type CarillonEvent, createClient } from '../src/index.js'
import { FakeServer, tokenOf } from './fake-server.js'

let server: FakeServer
beforeEach(() => {
  server = new FakeServer()
})
afterEach(() => {
  server.close()
  vi.unstubAllGlobals()
})

test('every event once and in order over cuts, in channels and beside them, and nothing of the person before', async () => {
  let who = 'anna'
  const client = server.client({ getToken: () => tokenOf(who) }, createCore as never)
  const [heard, own, told] = [[] as number[], [] as number[], [] as unknown[]]
  client.onIdentify((person) => told.push(person))
  const room = client.channel('branch:1')
  const leave = room.on('x', ({ seq }) => void heard.push(seq))
  client.on('*', (event: CarillonEvent) => void own.push(event.seq))
  await room.ready()
  server.emit('branch:1')
  server.emit('user:anna')
  await until('both', () => own.length === 2)
  server.cut(3)
  await until('what was missed', () => own.length === 5)
  server.emit('branch:1')
  await until('what comes now', () => own.length === 6)
  expect([heard, own]).toEqual([
    [101, 103, 104, 105, 106],
    [101, 102, 103, 104, 105, 106],
  ])
  // A channel that is asked for later, and one that nobody may join.
  server.forbidden.add('secret')
  const later = client.channel('branch:2')
  later.join()
  await later.ready()
  client.channel('secret').join()
  await expect(client.channel('secret').ready()).rejects.toMatchObject({ code: 'forbidden' })
  who = 'mila'
  client.identify('mila')
  await client.ready()
  expect([told, client.state]).toMatchObject([['mila'], { identity: { user: 'mila' } }])
  leave()
  client.close()
  expect(client.state.status).toBe('closed')
})

test('nobody is signed in: it says so and asks no more', async () => {
  const client = createCore({ url: 'http://localhost', getToken: () => null, onError() {} })
  expect(client.state.status).toBe('idle')
  await expect(client.ready()).rejects.toMatchObject({ code: 'unauthorized' })
})

test('it has what the whole client has, but for the features', () => {
  const options = { url: 'http://localhost', getToken: () => null, autoConnect: false }
  const [core, whole] = [createCore(options), createClient(options)]
  const missing = (one: object, other: object) => Object.keys(other).filter((name) => !(name in one))
  expect(missing(whole, core)).toEqual([])
  expect(missing(core, whole).sort()).toEqual(
    ['activity', 'attach', 'detach', 'inbox', 'live', 'ping', 'preferences', 'publish', 'request', 'switch'].sort(),
  )
  expect(missing(core.channel('a'), whole.channel('a')).sort()).toEqual(
    ['history', 'latest', 'onSignal', 'presence', 'publish', 'state', 'typing'].sort(),
  )
})
