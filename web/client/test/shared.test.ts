// When does a client of several tenants use the connection that is there, and when is it given up?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../../testing/stack.js'
import type { Ended } from '../src/machine.js'
import { createShared, type Shared } from '../src/shared.js'
import { endOfClose, type Frame, type Hello, type Open, type Receiver } from '../src/transport.js'
import { FakeServer, tokenOf } from './fake-server.js'

interface FakeLink {
  readonly hello: Hello
  readonly to: Receiver
  readonly sent: Frame[]
  closed: boolean
}

let links: FakeLink[]
let shared: Shared
let server: FakeServer
beforeEach(() => {
  links = []
  server = new FakeServer()
  const open: Open = (_transport, _base, hello, to) => {
    const link: FakeLink = { hello, to, sent: [], closed: false }
    links.push(link)
    return {
      send: (frame) => void link.sent.push(frame as Frame),
      close() {
        link.closed = true
      },
    }
  }
  shared = createShared(open)
})
afterEach(() => {
  server.close()
  vi.useRealTimers()
})

/** Somebody who comes into this tenant. */
async function come(tenant: string, token = tokenOf('anna')) {
  const frames: Frame[] = []
  const ends: Ended[] = []
  const to = { frame: (frame: Frame) => void frames.push(frame), ended: (end: Ended) => void ends.push(end) }
  const link = shared.open('websocket', '', { token, tenant, channels: [], cursor: null }, to)
  await Promise.resolve()
  return { frames, ends, link }
}
/** The server lets the last who has asked come in. */
function welcome(tenant: string) {
  const link = links.at(-1)!
  const asked = link.sent.findLast(({ type }) => type === 'attach' || type === 'switch')
  link.to.frame({ type: 'welcome', tenant, ...(asked && { id: asked.id }) })
}

test('a connection that is kept between two tenants is ended at once where nobody is to come', async () => {
  const anna = await come('a')
  welcome('a')
  shared.keep(5_000)
  anna.link.close()
  expect(links[0]!.closed).toBe(false)
  shared.keep(0)
  expect(links[0]!.closed).toBe(true)
})

test('nobody comes into a connection that another person has opened', async () => {
  const anna = await come('a')
  welcome('a')
  const mila = await come('b', tokenOf('mila'))
  expect(links[0]).toMatchObject({ closed: true, sent: [] })
  expect(anna.ends).toMatchObject([{ outcome: 'retry', code: 'identity_changed' }])
  expect(links[1]!.hello.token).toBe(tokenOf('mila'))
  welcome('b')
  expect(mila.frames).toMatchObject([{ type: 'welcome', tenant: 'b' }])
  // Nor where it is kept, and nobody is in it any more.
  shared.keep(5_000)
  mila.link.close()
  await come('a')
  expect(links[1]).toMatchObject({ closed: true, sent: [] })
  expect(links[2]!.hello.token).toBe(tokenOf('anna'))
})

test('the end of the only tenant is not the end of those that were still coming in', async () => {
  const first = await come('a')
  welcome('a')
  const second = await come('b')
  expect(links[0]!.sent).toMatchObject([{ type: 'attach', tenant: 'b' }])
  links[0]!.to.ended(endOfClose(4410, 'disconnected'))
  expect(first.ends).toMatchObject([{ outcome: 'final', code: 'disconnected_by_admin' }])
  expect(second.ends).toEqual([])
  expect(links[1]!.hello.tenant).toBe('b')
  links[1]!.to.frame({ type: 'welcome', tenant: 'b' })
  expect(second.frames).toMatchObject([{ type: 'welcome', tenant: 'b' }])
})

/** As the server answers who comes into another tenant. */
const several = () => {
  server.answer = ({ type, tenant }) =>
    type === 'attach' || type === 'switch' || (type === 'auth' && tenant === 'b')
      ? { type: 'welcome', connection: 'c', tenant, user: 'anna', roles: [], seq: 7, epoch: 'e', heartbeat_ms: 25_000 }
      : undefined
}
const isIn = (tenant: string, client: { state: object }) =>
  (client.state as { identity?: { tenant: string } }).identity?.tenant === tenant

test('after two switches nothing of the person before is left: neither for the next, nor after close()', async () => {
  several()
  let who = 'anna'
  const client = server.client({ getToken: () => tokenOf(who) })
  client.connect()
  await client.ready()
  client.switch('b')
  await client.ready()
  client.switch('c')
  await until('the third tenant', () => isIn('c', client))
  // From the second switch on it is one socket, which is kept for a moment.
  const [socket] = server.sockets
  expect(server.sent('switch')).toHaveLength(1)
  who = 'mila'
  client.identify('mila')
  expect(server.sockets).not.toContain(socket)
  await client.ready()
  expect(server.sent('auth').at(-1)!.token).toBe(tokenOf('mila'))
  expect(client.state).toMatchObject({ identity: { user: 'mila' } })
  client.switch('b')
  await until('the second tenant', () => isIn('b', client))
  client.close()
  expect(server.sockets).toEqual([])
})

test('a handler that switches the tenant: the next begins at its own place, and nobody gets more of the one before', async () => {
  several()
  const kept = new Map<string, string>()
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
  const client = server.client({ name: 'page', tenant: 't', storage })
  const late: unknown[] = []
  client.on('*', () => client.switch('b'))
  client.on('*', (event) => void late.push(event))
  await client.ready()
  server.emit('tenant')
  expect(client.position).toBeNull()
  await until('the other tenant', () => client.state.status === 'open' && server.frames.length > 1)
  expect(server.frames.at(-1)).toMatchObject({ tenant: 'b' })
  expect(server.frames.at(-1)!.since).toBeUndefined()
  expect(late).toEqual([])
  await until('its place is kept', () => kept.has('page b cursor'))
  expect(kept.get('page b cursor')).toBe('e:7')
})

test('a tenant is attached while the first connection is being made: there is one', async () => {
  several()
  const answer = server.answer
  server.answer = ({ type }) => (type === 'auth' ? null : undefined)
  const client = server.client()
  client.connect()
  await until('a connection that waits for its welcome', () => server.sent('auth').length === 1)
  const other = client.attach('b')
  other.connect()
  await until('it is made anew', () => server.sent('auth').length === 2)
  expect(server.sockets).toHaveLength(1)
  server.answer = answer
  const [socket] = server.sockets
  socket!.send(JSON.stringify(server.sent('auth').at(-1)))
  await Promise.all([client.ready(), other.ready()])
  expect(server.sockets).toEqual([socket])
})
