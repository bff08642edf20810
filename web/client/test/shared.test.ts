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

test('a connection on which nothing is heard is given up for all, and the next is another one', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  const first = await come('a')
  welcome('a')
  const second = await come('b')
  welcome('b')
  // Whoever leaves while it is heard leaves it to the other.
  const third = await come('c')
  welcome('c')
  third.link.send({ type: 'ping' })
  links[0]!.to.frame({ type: 'pong', tenant: 'c' })
  await vi.advanceTimersByTimeAsync(6_000)
  third.link.close()
  expect(links[0]!.closed).toBe(false)
  expect(second.ends).toEqual([])
  first.link.send({ type: 'ping' })
  await vi.advanceTimersByTimeAsync(5_000)
  first.link.close()
  expect(links[0]!.closed).toBe(true)
  expect(second.ends).toMatchObject([{ outcome: 'retry', code: 'silent', answered: true }])
  await come('a')
  expect(links).toHaveLength(2)
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

test('whoever comes with another token gives it to the server first: it may name other tenants', async () => {
  const token = (roles: string) => tokenOf('anna').replace(/s$/, roles)
  await come('a', token('1'))
  welcome('a')
  await come('b', token('2'))
  await come('c', token('2'))
  expect(links[0]!.sent.map(({ type, tenant, token }) => [type, tenant ?? token])).toEqual([
    ['auth', token('2')],
    ['attach', 'b'],
    ['attach', 'c'],
  ])
})

test('an older token of somebody who comes does not take the place of the newer one', async () => {
  const until = (exp: number) => `h.${Buffer.from(JSON.stringify({ sub: 'anna', exp })).toString('base64url')}.s`
  await come('a', until(2_000))
  welcome('a')
  await come('b', until(1_000))
  expect(links[0]!.sent.map(({ type }) => type)).toEqual(['attach'])
})

test('the tenant that is not named is one client: known, it is the same; before, the second is told so and tries no more', async () => {
  const client = server.client()
  const early = client.attach('t')
  early.connect()
  client.connect()
  await client.ready()
  await expect(early.ready()).rejects.toMatchObject({ code: 'already_attached' })
  expect(early.state).toMatchObject({ status: 'failed', code: 'already_attached' })
  const other = server.client()
  other.connect()
  await other.ready()
  expect(other.attach('t')).toBe(other)
  // It is there already.
  const before = server.sent('auth').length
  other.switch('t')
  expect([other.state.status, server.sent('auth').length]).toEqual(['open', before])
})

test('switch() connects nobody who is not connected', async () => {
  several()
  const client = server.client()
  client.on('*', () => {})
  await client.ready()
  client.close()
  client.switch('b')
  await new Promise((resolve) => setTimeout(resolve))
  expect([client.state.status, server.sockets]).toEqual(['closed', []])
  client.connect()
  await until('the tenant that was chosen', () => isIn('b', client))
  client.identify(null)
  client.switch('c')
  await new Promise((resolve) => setTimeout(resolve))
  expect([client.state, server.sockets]).toMatchObject([{ status: 'idle', code: 'signed_out' }, []])
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
