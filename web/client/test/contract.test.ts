// Does the client keep its promises at real gateways that are killed, drained, refused to and reset?

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Stack, startStack, until } from '../../testing/stack.js'
import type { CarillonError, Resync } from '../src/index.js'
import { Checker, Installation, state } from './installation.js'

let stack: Stack
let at: Installation
let tests = 0
/** Gateways that nobody has ended yet. */
let gateways: string[]

beforeAll(async () => {
  stack = await startStack('--gateways', '4')
  gateways = Object.keys(stack.pids).filter((name) => name.startsWith('gateway-'))
})
afterAll(() => stack?.down())
beforeEach(() => {
  at = new Installation(stack, `client-${++tests}`)
})
afterEach(() => at.close())

function end(name: string, signal: 'SIGKILL' | 'SIGTERM') {
  gateways = gateways.filter((one) => one !== name)
  process.kill(stack.pids[name]!, signal)
}

test('what is published is received, once and in order, with its data and its place', async () => {
  const [client, all, checker] = [at.client(), new Checker(), new Checker()]
  client.on('*', all.handle)
  const channel = client.channel('order:1')
  channel.on('order.*', checker.handle)
  channel.on('invoice.*', () => expect.unreachable())
  await channel.ready()
  await at.publish(600)
  await checker.has(600)
  all.whole(1, 600)
  const [first] = checker.events
  expect(first).toMatchObject({ type: 'order.paid', tenant: at.tenant, channels: ['order:1'], data: { n: 1 }, source: 'api' })
  expect(Object.isFrozen(first)).toBe(true)
  expect(client.state).toMatchObject({
    status: 'open',
    transport: 'websocket',
    leader: true,
    identity: { user: 'anna', tenant: at.tenant },
  })
})

test('a gateway is killed while events are published: none is lost, none comes twice', async () => {
  const [client, checker] = [at.client(), new Checker()]
  const channel = client.channel('order:1')
  channel.on('*', checker.handle)
  await channel.ready()
  const stop = at.publishing()
  await checker.has(100)
  const { connection } = client.state as { connection: string }
  const name = gateways.find((one) => connection.startsWith(`${one}-`))!
  const resyncs: Resync[] = []
  client.onResync((resync) => resyncs.push(resync))
  end(name, 'SIGKILL')
  await until('another connection', () => client.state.status === 'open' && client.state.connection !== connection)
  await checker.has((await stop()) as number)
  expect(resyncs).toEqual([])
})

test('a gateway is drained while events are published: its word is obeyed, none is lost, none comes twice', async () => {
  const [client, checker] = [at.client(), new Checker()]
  const codes: string[] = []
  client.onState((state) => codes.push(state.code))
  client.channel('order:1').on('*', checker.handle)
  await client.channel('order:1').ready()
  const stop = at.publishing()
  await checker.has(100)
  const { connection } = client.state as { connection: string }
  end(gateways.find((one) => connection.startsWith(`${one}-`))!, 'SIGTERM')
  await until('another connection', () => client.state.status === 'open' && client.state.connection !== connection)
  await checker.has((await stop()) as number)
  expect(codes).toContain('goaway')
})

test('a token that ends is renewed on the connection, and the connection stays', async () => {
  const reasons: string[] = []
  const client = at.client({
    getToken({ reason }) {
      reasons.push(reason)
      return at.token({}, reasons.length === 1 ? 8 : 3600)
    },
  })
  const checker = new Checker()
  client.channel('order:1').on('*', checker.handle)
  await client.channel('order:1').ready()
  const { connection } = client.state as { connection: string }
  await until('a new token', () => reasons.includes('expiring'))
  await new Promise((resolve) => setTimeout(resolve, 8_500))
  expect(client.state).toMatchObject({ status: 'open', connection })
  await at.publish(1)
  await checker.has(1)
  expect(reasons).toEqual(['connect', 'expiring'])
})

test('a token that has ended is refused, asked for once more, and the events in between are not lost', async () => {
  const reasons: string[] = []
  let backEnd: 'there' | 'away' | 'there again' = 'there'
  const client = at.client({
    getToken({ reason }) {
      reasons.push(reason)
      if (backEnd === 'away') throw new Error('the back end is away')
      // Short ones until it was away, however long it takes to come in.
      return at.token({}, backEnd === 'there' ? 5 : 3600)
    },
  })
  const checker = new Checker()
  client.channel('order:1').on('*', checker.handle)
  await client.channel('order:1').ready()
  await at.publish(3)
  await checker.has(3)
  backEnd = 'away'
  await until('the end of the token', () => client.state.status === 'waiting' && client.state.code === 'token_failed')
  await at.publish(3)
  backEnd = 'there again'
  await checker.has(6)
  expect(reasons).toContain('refused')
})

test('a token that nobody accepts ends as failed, with a reason', async () => {
  const reasons: string[] = []
  const client = at.client({
    getToken({ reason }) {
      reasons.push(reason)
      return 'not.a.token'
    },
  })
  client.connect()
  await expect(client.ready()).rejects.toMatchObject({ code: 'unauthorized' })
  expect(client.state.status).toBe('failed')
  expect(reasons).toEqual(['connect', 'refused'])
})

test('nobody is signed in, or getToken throws: a named state', async () => {
  const nobody = at.client({ getToken: () => null })
  nobody.connect()
  await state(nobody, 'failed')
  expect(nobody.state.code).toBe('unauthorized')
  const broken = at.client({ getToken: () => Promise.reject(new Error('away')) })
  broken.connect()
  await state(broken, 'waiting')
  expect(broken.state).toMatchObject({ code: 'token_failed', reason: 'getToken failed: away' })
})

test('a bad URL is a named state', async () => {
  const client = at.client({ url: 'nowhere' })
  client.connect()
  await state(client, 'failed')
  expect(client.state.code).toBe('invalid_url')
})

test('another log is told as a resync, and events go on', async () => {
  const [client, checker] = [at.client(), new Checker()]
  const resyncs: Resync[] = []
  client.channel('order:1').on('*', checker.handle)
  client.onResync((resync) => resyncs.push(resync))
  await client.channel('order:1').ready()
  await at.publish(5)
  await checker.has(5)
  const program = fileURLToPath(new URL('../../../target/debug/carillon-publisher', import.meta.url))
  await promisify(execFile)(program, ['rotate-epoch', '--tenant', at.tenant], {
    env: { ...process.env, DATABASE_URL: stack.database_url },
  })
  await until('a resync', () => resyncs.length > 0)
  expect(resyncs[0]!.reason).toBe('epoch_changed')
  await at.publish(5)
  await checker.has(10)
  expect(client.position!.epoch).toBe(resyncs[0]!.position.epoch)
})

test('a channel that is refused is told by name, and the others go on; also after a reconnect', async () => {
  const [client, checker] = [at.client(), new Checker()]
  const errors: CarillonError[] = []
  client.onError((error) => errors.push(error))
  client.channel('secret:1').on('*', () => expect.unreachable())
  client.channel('order:1').on('*', checker.handle)
  await client.channel('order:1').ready()
  await expect(client.channel('secret:1').ready()).rejects.toMatchObject({ code: 'forbidden' })
  expect(client.channel('secret:1').error?.channels).toEqual(['secret:1'])
  await at.publish(2)
  await checker.has(2)
  client.close()
  await at.publish(2)
  client.connect()
  await checker.has(4)
  expect(errors.map((error) => error.code)).toContain('forbidden')
})

test('history comes before what is live, without a gap or a repeat', async () => {
  await at.publish(500)
  const client = at.client()
  const stop = at.publishing()
  const checker = new Checker()
  client.channel('order:1').on('*', checker.handle, { history: 1_000 })
  await until('live events', () => checker.events.some((event) => !event.replay))
  const sent = (await stop()) as number
  await until('the last one', () => checker.numbers.at(-1) === sent)
  const replayed = checker.events.filter((event) => event.replay).length
  expect(replayed).toBeGreaterThanOrEqual(500)
  // All of them, or the newest thousand where there were more by the time that it came in.
  checker.whole(replayed < 1_000 ? 1 : checker.numbers[0]!, sent)
})

test('the cursor moves past an event when its handlers are done, and a reload goes on there', async () => {
  const kept = new Map<string, string>()
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
  const [first, checker] = [at.client({ storage }), new Checker()]
  let finish = () => {}
  first.channel('order:1').on('*', (event) => {
    checker.handle(event)
    // The third is never done.
    if (event.data.n === 3) return new Promise<void>((resolve) => (finish = resolve))
  })
  await first.channel('order:1').ready()
  await at.publish(5)
  await checker.has(5)
  await until('the cursor stands before the third', () => first.position?.seq === 2)
  first.close()
  await at.publish(2)
  const [second, again] = [at.client({ storage }), new Checker()]
  second.channel('order:1').on('*', again.handle)
  await until('what was not handled', () => again.numbers.includes(7))
  again.whole(3, 7)
  finish()
})

test('a handler that throws is told, and keeps nothing from anybody', async () => {
  const client = at.client()
  const errors: CarillonError[] = []
  client.onError((error) => errors.push(error))
  const checker = new Checker()
  client.channel('order:1').on('*', () => {
    throw new TypeError('in the handler')
  })
  client.channel('order:1').on('*', checker.handle)
  await client.channel('order:1').ready()
  await at.publish(3)
  await checker.has(3)
  expect(errors.map((error) => error.code)).toEqual(['handler', 'handler', 'handler'])
  expect(client.position?.seq).toBe(3)
})

test('rows that are loaded follow the events from exactly where they were read, and are loaded again after a reset', async () => {
  const stop = at.publishing()
  const client = at.client()
  let loads = 0
  let loaded: number[] = []
  const live = client.channel('order:1').state<number[]>({
    async load() {
      loads++
      const { events, position } = await client.channel('order:1').history({ limit: 1_000 })
      loaded = events.map((event) => event.data.n)
      return { value: loaded, position }
    },
    apply: (value, event) => [...value, event.data.n],
  })
  const off = live.on(() => {})
  await until('live', () => live.snapshot.status === 'live' && live.snapshot.value.length > 40)
  const sent = (await stop()) as number
  await until('all of them', () => live.snapshot.value?.at(-1) === sent)
  // All of them, or from the newest thousand on where there were more by the time that it came in.
  const first = loaded.length < 1_000 ? 1 : loaded[0]!
  expect(live.snapshot.value).toEqual(Array.from({ length: sent - first + 1 }, (_, i) => first + i))
  expect(loads).toBe(1)
  off()
})

test('what a server rendered is not loaded again: only what came since is fetched', async () => {
  await at.publish(10)
  const { epoch, seq } = (await (await at.rest('GET', `/v1/position?tenant=${at.tenant}`)).json()) as {
    epoch: string
    seq: number
  }
  await at.publish(10)
  const client = at.client()
  const live = client.channel('order:1').state<number[]>({
    load: () => expect.unreachable(),
    apply: (value, event) => [...value, event.data.n],
    initial: { value: [10], position: `${epoch}:${seq}` },
  })
  expect(live.snapshot).toMatchObject({ status: 'live', value: [10] })
  live.on(() => {})
  await until('what came since', () => live.snapshot.value?.at(-1) === 20)
  expect(live.snapshot.value).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20])
})

test('over an event stream and over polls it is the same: once, in order, resumed; commands go over HTTP', async () => {
  class Blocked {
    constructor() {
      throw new TypeError('no WebSocket passes here')
    }
  }
  await at.rest('PUT', `/v1/channel-rules/order:*?tenant=${at.tenant}`, {
    subscribe: ['anyone'],
    publish: ['anyone'],
    signal: ['anyone'],
  })
  const real = globalThis.fetch
  for (const transport of ['sse', 'poll']) {
    const before = at.sent
    // Something on the way holds every event stream back.
    if (transport === 'poll')
      globalThis.fetch = (input, init) =>
        `${input}`.includes('/v1/sse')
          ? new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(new Error('aborted'))))
          : real(input, init)
    try {
      const [client, checker] = [at.client({ WebSocket: Blocked as never }), new Checker()]
      client.channel('order:1').on('order.*', checker.handle)
      await state(client, 'open', 25_000)
      expect(client.state).toMatchObject({ transport })
      await client.channel('order:1').ready()
      await at.publish(50)
      await until('fifty', () => checker.events.length >= 50)
      checker.whole(before + 1, before + 50)
      // Another channel is named in the URL, so the stream begins again, at its cursor.
      client.channel('order:2').on('order.*', checker.handle)
      await client.channel('order:2').ready()
      await at.publish(10, 'order:2')
      await until('sixty', () => checker.events.length >= 60)
      checker.whole(before + 1, before + 60)
      expect(await client.publish('order:1', 'order.note', { text: 'hello' })).toMatchObject({ id: expect.any(String) })
      client.close()
    } finally {
      globalThis.fetch = real
    }
  }
})

test('as many channels as a connection may have are more than a URL has room for: over an event stream and over polls they go as a form', async () => {
  class Blocked {
    constructor() {
      throw new TypeError('no WebSocket passes here')
    }
  }
  const real = globalThis.fetch
  for (const transport of ['sse', 'poll']) {
    const before = at.sent
    const asked: [string | undefined, string][] = []
    globalThis.fetch = (input, init) => {
      if (/v1[/](sse|poll)/.test(`${input}`)) asked.push([init?.method, `${input}`])
      return transport === 'poll' && `${input}`.includes('/v1/sse')
        ? new Promise((_, reject) => init?.signal?.addEventListener('abort', () => reject(new Error('aborted'))))
        : real(input, init)
    }
    try {
      const [client, checker] = [at.client({ WebSocket: Blocked as never }), new Checker()]
      const channels = Array.from({ length: 998 }, (_, n) => `order:${'0'.repeat(32)}-${n}`)
      for (const channel of channels) client.channel(channel).on('order.*', checker.handle)
      await client.channel(channels.at(-1)!).ready()
      expect(client.state).toMatchObject({ status: 'open', transport })
      await at.publish(3, channels.at(-1))
      await until('three', () => checker.events.length >= 3)
      checker.whole(before + 1, before + 3)
      client.close()
    } finally {
      globalThis.fetch = real
    }
    expect(asked.at(-1)).toEqual(['POST', expect.stringMatching(new RegExp(`/v1/${transport}$`))])
  }
})

test('people: who is here, who types, what they say to each other', async () => {
  const rule = { subscribe: ['anyone'], publish: ['anyone'], signal: ['anyone'], presence: ['anyone'] }
  await at.rest('PUT', `/v1/channel-rules/order:*?tenant=${at.tenant}`, rule)
  const anna = at.client()
  const mila = at.client({ getToken: () => at.token({ sub: 'mila' }) })
  const [one, other] = [anna.channel('order:1'), mila.channel('order:1')]
  one.presence.on(() => {})
  other.presence.on(() => {})
  await until('both are seen', () => one.presence.snapshot.count === 2 && other.presence.snapshot.count === 2)
  await other.presence.set({ desk: 4 })
  await until('what she says of herself', () =>
    one.presence.snapshot.members.some((member) => (member.meta as { desk: number })?.desk === 4),
  )
  one.typing.on(() => {})
  await state(anna, 'open')
  other.typing.start()
  await until('she types', () => one.typing.users.includes('mila'))
  other.typing.stop()
  await until('she types no more', () => one.typing.users.length === 0)
  const said: unknown[] = []
  one.onSignal('order.*', (signal) => said.push([signal.from, signal.type, signal.data]))
  await mila.publish('order:1', 'order.note', { text: 'call back' })
  await until('the signal', () => said.length > 0)
  expect(said).toEqual([['mila', 'order.note', { text: 'call back' }]])
  mila.close()
  await until('she has gone', () => one.presence.snapshot.count === 1, 25_000)
})

test('the inbox: a list and a count that follow, marks that are shown at once and taken back when refused', async () => {
  const client = at.client()
  const list = client.inbox.list()
  const notices: string[] = []
  list.on(() => {})
  client.inbox.onSummary(() => {})
  client.inbox.onNotice((event) => notices.push(event.notify!.title!))
  await until('an empty list', () => list.snapshot.status === 'live')
  // What is said before it is connected does not ring.
  await client.ready()
  const notice = (title: string) =>
    at.rest('POST', '/v1/events', { tenant: at.tenant, type: 'order.paid', users: ['anna'], data: {}, notify: { title } })
  await notice('first')
  await notice('second')
  await until('two', () => list.snapshot.items.length === 2 && client.inbox.summary?.unread === 2)
  // The list is read from the log, which may be ahead of the connection.
  await until('both have rung', () => notices.length === 2)
  expect(notices).toEqual(['first', 'second'])
  expect(list.snapshot.items.map((item) => item.title)).toEqual(['second', 'first'])
  const [newest] = list.snapshot.items
  const real = globalThis.fetch
  let answer = () => {}
  const answered = new Promise<void>((done) => {
    answer = done
  })
  globalThis.fetch = async (input, init) => {
    if (init?.method === 'POST') await answered
    return real(input, init)
  }
  try {
    const done = client.inbox.read(newest!.seq)
    await until('it is shown before it is answered', () => list.snapshot.items[0]!.read && client.inbox.summary!.unread === 1)
    answer()
    await done
  } finally {
    globalThis.fetch = real
  }
  // On another device of the same person.
  const other = at.client()
  await other.inbox.readAll()
  await until(
    'all are read here, too',
    () => client.inbox.summary!.unread === 0 && list.snapshot.items.every((item) => item.read),
  )
  const refused = client.inbox.ack(newest!.seq)
  await expect(refused).rejects.toMatchObject({ code: 'invalid_mark', status: 422 })
  await client.inbox.remove(newest!.seq)
  await until('one is left', () => list.snapshot.items.length === 1)
  const preferences = await client.preferences.set({ types: { 'order.*': { toast: false } } })
  expect(preferences.types).toEqual({ 'order.*': { toast: false } })
  expect((await client.preferences.test('order.paid')).toast.gets).toBe(false)
})

test('identify(null) ends everything of a person; with somebody else it begins anew', async () => {
  const kept = new Map<string, string>()
  const storage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  }
  let who = 'anna'
  const client = at.client({ storage, getToken: () => at.token({ sub: who }) })
  client.on('*', () => {})
  await client.ready()
  await until('a cursor is kept', () => kept.size === 1)
  client.identify(null)
  expect(client.state.status).toBe('idle')
  expect(client.position).toBeNull()
  expect(kept.size).toBe(0)
  client.on('*', () => {})
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(client.state.status).toBe('idle')
  who = 'mila'
  client.identify('mila')
  await state(client, 'open')
  expect(client.state).toMatchObject({ identity: { user: 'mila' } })
})

test('frames wait for a connection, each is told when it cannot, and what was sent twice is one', async () => {
  const rule = { subscribe: ['anyone'], publish: ['anyone'], durable: true, rate: 1000 }
  await at.rest('PUT', `/v1/channel-rules/order:*?tenant=${at.tenant}`, rule)
  const client = at.client()
  const checker = new Checker()
  client.channel('order:1').on('*', checker.handle)
  // Before there is a connection, more than the queue holds.
  const asked = Array.from({ length: 300 }, (_, i) => client.publish('order:1', 'order.paid', { n: i + 1 }, { id: `n-${i + 1}` }))
  const settled = await Promise.allSettled(asked)
  const done = settled.filter((one) => one.status === 'fulfilled').length
  const told = settled.flatMap((one) => (one.status === 'rejected' ? [(one.reason as CarillonError).code] : []))
  expect(done).toBeGreaterThanOrEqual(200)
  expect(new Set(told)).toEqual(new Set(['queue_full']))
  const repeated = await client.publish('order:1', 'order.paid', { n: 1 }, { id: 'n-1' })
  expect(repeated.seq).toBe((settled[0] as PromiseFulfilledResult<{ seq: number }>).value.seq)
  await until('every one that was told', () => checker.events.length >= done)
  expect(checker.events.length).toBe(done)
})

test('ten thousand events at once, and a device whose acknowledgements can be asked for', async () => {
  const client = at.client({ device: 'phone' })
  const checker = new Checker()
  client.channel('order:1').on('*', checker.handle)
  await client.channel('order:1').ready()
  await at.publish(10_000)
  await checker.has(10_000)
  const last = checker.events.at(-1)!
  await until('the acknowledgement', async () => {
    const answer = await at.rest('GET', `/v1/events/${last.id}/deliveries?tenant=${at.tenant}`)
    return ((await answer.json()) as { acked: number }).acked === 1
  })
})
