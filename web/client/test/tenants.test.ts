// Do clients of several tenants share one connection to real gateways, each with every event once and in order?

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Stack, startStack, until } from '../../testing/stack.js'
import type { CarillonError, Client, Resync } from '../src/index.js'
import { Checker, Installation, state } from './installation.js'

let stack: Stack
let schools: Installation[]
let tests = 0

beforeAll(async () => {
  stack = await startStack('--gateways', '3')
})
afterAll(() => stack?.down())
beforeEach(() => {
  tests++
  schools = ['linden', 'birch', 'maple'].map((name) => new Installation(stack, `${name}-${tests}`))
})
afterEach(() => {
  for (const school of schools) school.close()
})

const all = () => Object.fromEntries(schools.map(({ tenant }) => [tenant, ['director']]))
/** Of a director: of all schools, or of these. */
const token = (tenants: object = all(), seconds = 3600) =>
  schools[0]!.token({ tenant: undefined, tenants, channels: ['order:*'] }, seconds)
const director = (options: object = {}) => schools[0]!.client({ tenant: schools[0]!.tenant, getToken: () => token(), ...options })
const everyone = (client: Client) => schools.map(({ tenant }) => client.attach(tenant))

/** `gateway-1-f6f59276-0-0-1`, for each. */
const connections = (clients: Client[]) => clients.map((one) => (one.state as { connection?: string }).connection)
const open = async (clients: Client[]) => {
  for (const one of clients) await state(one, 'open')
}

function listen(clients: Client[]) {
  const resyncs: Resync[] = []
  const checkers = clients.map((one) => {
    const checker = new Checker()
    one.onResync((resync) => resyncs.push(resync))
    one.channel('order:1').on('*', checker.handle)
    return checker
  })
  return { checkers, resyncs }
}

test('a director of three schools has one socket, and hears each school by itself', async () => {
  await schools[1]!.rest('PUT', `/v1/channel-rules/order:*?tenant=${schools[1]!.tenant}`, { publish: ['anyone'], durable: true })
  const client = director()
  const clients = everyone(client)
  expect(clients[0]).toBe(client)
  expect(clients[1]!.attach(schools[2]!.tenant)).toBe(clients[2])
  const { checkers, resyncs } = listen(clients)
  await open(clients)
  for (const one of clients) await one.channel('order:1').ready()
  expect(new Set(connections(clients)).size).toBe(1)
  expect(clients.map((one) => (one.state as { identity?: { tenant: string } }).identity?.tenant)).toEqual(
    schools.map(({ tenant }) => tenant),
  )
  const counts = [300, 200, 100]
  await Promise.all(schools.map((school, n) => school.publish(counts[n]!)))
  for (const [n, checker] of checkers.entries()) {
    await checker.has(counts[n]!)
    checker.whole(1, counts[n]!)
    expect(new Set(checker.events.map(({ tenant }) => tenant))).toEqual(new Set([schools[n]!.tenant]))
  }
  expect(resyncs).toEqual([])
  // What is asked, and what is said, is each tenant's own.
  const sent = await clients[1]!.publish('order:1', 'order.paid', { n: 201 })
  expect(sent.seq).toBe(201)
  await checkers[1]!.has(201)
  await expect(clients[2]!.publish('order:1', 'order.paid', { n: 101 })).rejects.toMatchObject({ code: 'forbidden' })
  expect(await clients[2]!.ping()).toBeGreaterThan(0)
  expect((await clients[2]!.request('GET', '/v1/inbox')).status).toBe(200)
})

test('a gateway is killed, and one is drained, while three tenants are heard over one socket: none is lost, none comes twice', async () => {
  const clients = everyone(director())
  const { checkers, resyncs } = listen(clients)
  await open(clients)
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    const [before] = connections(clients)
    const stops = schools.map((school) => school.publishing())
    const [name] = Object.keys(stack.pids).filter((one) => before!.startsWith(`${one}-`))
    process.kill(stack.pids[name!]!, signal)
    delete stack.pids[name!]
    await until('another socket for all', () => {
      const now = new Set(connections(clients))
      return now.size === 1 && !now.has(before) && !now.has(undefined)
    })
    for (const [n, stop] of stops.entries()) {
      const count = await stop()
      await checkers[n]!.has(count)
      checkers[n]!.whole(1, count)
    }
  }
  expect(resyncs).toEqual([])
  await stack.revive()
})

test('a tenant is attached to a connection that is open, and the first may leave it', async () => {
  const [linden, birch] = schools
  const client = director()
  const {
    checkers: [first],
  } = listen([client])
  await state(client, 'open')
  await linden!.publish(5)
  await first!.has(5)
  const other = client.attach(birch!.tenant)
  const {
    checkers: [second],
  } = listen([other])
  await open([client, other])
  await until('one socket', () => new Set(connections([client, other])).size === 1)
  await Promise.all([linden!.publish(5), birch!.publish(5)])
  await first!.has(10)
  await second!.has(5)
  // Whoever is asked who is connected in the first tenant sees nobody any more, and the other goes on.
  const third = client.attach(schools[2]!.tenant)
  third.connect()
  await state(third, 'open')
  const [before] = connections([other])
  client.detach(schools[2]!.tenant)
  expect(third.state.status).toBe('closed')
  const there = async ({ tenant }: Installation) =>
    ((await (await linden!.rest('GET', `/v1/connections?tenant=${tenant}`)).json()) as { connections: unknown[] }).connections
      .length
  await until('the third is left', async () => (await there(schools[2]!)) === 0)
  await birch!.publish(5)
  await second!.has(10)
  expect(connections([other])).toEqual([before])
  client.close()
  expect(other.state.status).toBe('closed')
  await until('nobody is there', async () => (await there(birch!)) === 0 && (await there(linden!)) === 0)
  await birch!.publish(5)
  client.connect()
  await second!.has(15)
})

test('a tenant that the token does not name is refused alone, and a refresh that drops one closes that one', async () => {
  const [linden, birch, maple] = schools
  const two: object = { [linden!.tenant]: [], [birch!.tenant]: [] }
  let now = two
  const reasons: string[] = []
  const client = director({
    getToken({ reason }: { reason: string }) {
      reasons.push(reason)
      // Until it drops one, so that there is a refresh after that, however long it took to come in.
      return token(now, now === two ? 8 : 3600)
    },
  })
  const [, other, foreign] = everyone(client)
  const {
    checkers: [checker],
  } = listen([client])
  for (const one of [other!, foreign!]) one.connect()
  await open([client, other!])
  await state(foreign!, 'failed')
  expect(foreign!.state.code).toBe('forbidden')
  now = { [linden!.tenant]: [] }
  await state(other!, 'failed', 30_000)
  expect(other!.state.code).toBe('forbidden')
  expect(reasons).toContain('expiring')
  await linden!.publish(5)
  await checker!.has(5)
  expect(maple).toBeDefined()
})

test('a channel that is refused in one tenant is refused there alone', async () => {
  const clients = everyone(director())
  const errors: CarillonError[] = []
  const { checkers } = listen(clients)
  clients[1]!.channel('secret:1').on('*', () => expect.unreachable())
  await expect(clients[1]!.channel('secret:1').ready()).rejects.toMatchObject({ code: 'forbidden' })
  clients[0]!.onError((error) => errors.push(error))
  await open(clients)
  await Promise.all(schools.map((school) => school.publish(3)))
  for (const checker of checkers) await checker.has(3)
  expect(errors).toEqual([])
  await until('one socket', () => new Set(connections(clients)).size === 1)
})

test('switch: the same client and handlers for another tenant, over the same connection, and nothing of the one before', async () => {
  const [linden, birch, maple] = schools
  const client = director()
  const {
    checkers: [checker],
  } = listen([client])
  const told: unknown[] = []
  client.onIdentify((person) => told.push(person))
  await state(client, 'open')
  await linden!.publish(2)
  await checker!.has(2)
  client.switch(birch!.tenant)
  await until('the other tenant', () => client.state.status === 'open' && client.state.identity.tenant === birch!.tenant)
  await client.channel('order:1').ready()
  expect(told).toEqual(['anna'])
  await birch!.publish(2)
  await until('what is said there', () => checker!.events.length === 4)
  expect(checker!.events.at(-1)).toMatchObject({ tenant: birch!.tenant, data: { n: 2 } })
  // From the second time on it is the same socket.
  const [before] = connections([client])
  client.switch(maple!.tenant)
  await until('the third tenant', () => client.state.status === 'open' && client.state.identity.tenant === maple!.tenant)
  expect(connections([client])).toEqual([before])
  await client.channel('order:1').ready()
  await Promise.all(schools.map((school) => school.publish(1)))
  await until('what is said in the third', () => checker!.events.length === 5)
  expect(checker!.events.at(-1)).toMatchObject({ tenant: maple!.tenant, data: { n: 1 } })
})

test('identify(null) ends all of them, and the next person has all of them', async () => {
  let who = 'anna'
  const client = director({ getToken: () => schools[0]!.token({ sub: who, tenant: undefined, tenants: all() }) })
  const clients = everyone(client)
  listen(clients)
  await open(clients)
  clients[2]!.identify(null)
  expect(clients.map((one) => one.state.status)).toEqual(['idle', 'idle', 'idle'])
  expect(clients.map((one) => one.position)).toEqual([null, null, null])
  who = 'mila'
  client.identify('mila')
  await open(clients)
  expect(clients.map((one) => (one.state as { identity?: { user: string } }).identity?.user)).toEqual(['mila', 'mila', 'mila'])
  expect(new Set(connections(clients)).size).toBe(1)
})

test('a role that a refreshed token brings is heard at once, in each tenant', async () => {
  let asked = 0
  const roles = () => Object.fromEntries(schools.map(({ tenant }) => [tenant, ++asked > 3 ? ['principal'] : []]))
  let fresh = false
  const client = director({
    getToken({ reason }: { reason: string }) {
      fresh ||= reason === 'expiring'
      return token(roles(), fresh ? 3600 : 6)
    },
  })
  const clients = everyone(client)
  const checkers = clients.map((one) => {
    const checker = new Checker()
    one.on('*', checker.handle)
    return checker
  })
  await open(clients)
  const before = connections(clients)
  await until('the new roles', () =>
    clients.every((one) => one.state.status === 'open' && one.state.identity.roles.includes('principal')),
  )
  await Promise.all(schools.map((school) => school.publish(2, 'role:principal')))
  for (const checker of checkers) await checker.has(2)
  expect(connections(clients)).toEqual(before)
})
