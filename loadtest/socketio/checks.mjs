// What is tried with each client? Each check returns what the table says; an error is what does not hold.

import assert from 'node:assert/strict'

import { until } from '../interop/checks.mjs'
import { stack } from '../interop/stack.mjs'
import { Client, PATIENCE } from './client.mjs'
import { expired, forged, nodes, publish as post } from './stack.mjs'

const EVENTS = 1000
let rooms = 0
let ends = 0
/** A channel that nobody else uses. */
const room = () => `contact:${(rooms += 1)}`
const numbers = (events) => events.map(([data]) => data.n)
const range = (from, to) => Array.from({ length: to - from }, (_, at) => from + at)

/** Lets a client connect, does something with it and ends it, whatever happens. */
async function using(client, options, body) {
  const it = new Client(client, { url: nodes.balancer.url, ...options, auth: { token: stack.token, ...options.auth } })
  try {
    return await body(it)
  } finally {
    it.end()
  }
}

async function joins(it, channel) {
  const [answer] = await it.call('join', channel)
  assert.equal(answer?.type, 'ok', `join: ${JSON.stringify(answer)}`)
}

/** Publishes events with these numbers, one request for fifty. */
async function numbered(channel, list) {
  for (let at = 0; at < list.length; at += 50) {
    await post(list.slice(at, at + 50).map((n) => ({ type: 'numbered', channels: [channel], data: { n } })))
  }
}

/** Whether these events came, in order, none missing and none twice, when the channel has said all that it has to say. */
async function came(it, channel, wanted) {
  const last = `end-${ends += 1}`
  await post({ type: last, channels: [channel] })
  await it.until('the event after the last', ({ event }) => event === last).catch((error) => {
    const got = new Set(numbers(it.events('numbered')))
    throw new Error(`${error.message}: ${wanted.filter((n) => !got.has(n)).length} missing, the first ${wanted.find((n) => !got.has(n))}`)
  })
  const got = numbers(it.events('numbered'))
  const twice = got.filter((n, at) => got.indexOf(n) !== at)
  const missing = wanted.filter((n) => !got.includes(n))
  assert.ok(!twice.length && !missing.length, `${missing.length} missing (${missing.slice(0, 5)}), ${twice.length} twice (${twice.slice(0, 5)})`)
  if (!it.unordered) assert.deepEqual(got, wanted, 'not in order')
}

/** Connects over these transports, joins, and gets a few events. */
async function over(client, transports, count) {
  return using(client, { transports }, async (it) => {
    const { transport } = await it.connected()
    const channel = room()
    await joins(it, channel)
    await numbered(channel, range(0, count))
    await came(it, channel, range(0, count))
    return transport
  })
}

async function websocket(client) {
  await over(client, 'websocket', 10)
  return 'yes'
}

async function polling(client) {
  await over(client, 'polling', 200)
  return 'yes'
}

async function upgrade(client) {
  return using(client, { transports: 'polling,websocket' }, async (it) => {
    await it.connected()
    const before = nodes.balancer.upgraded.size
    const channel = room()
    await joins(it, channel)
    await until(PATIENCE, 'an upgrade', () => nodes.balancer.upgraded.size > 0 || before > 0)
    await numbered(channel, range(0, 200))
    await came(it, channel, range(0, 200))
    return 'yes'
  })
}

async function joinAndLeave(client) {
  return using(client, {}, async (it) => {
    await it.connected()
    const [stays, goes] = [room(), room()]
    await joins(it, stays)
    await joins(it, goes)
    await post({ type: 'first', channels: [goes] })
    await it.until('an event of the room', ({ event }) => event === 'first')
    const [left] = await it.call('leave', goes)
    assert.equal(left?.type, 'ok', `leave: ${JSON.stringify(left)}`)
    await post({ type: 'second', channels: [goes] })
    await post({ type: 'third', channels: [stays] })
    const { args } = await it.until('an event of the other room', ({ event }) => event === 'third')
    assert.equal(it.events('second').length, 0, 'an event of a room that was left')
    assert.deepEqual(args[1]?.channels, [stays], 'the second argument is what is known of the event')
    return 'yes'
  })
}

async function order(client) {
  return using(client, {}, async (it) => {
    await it.connected()
    const channel = room()
    await joins(it, channel)
    await numbered(channel, range(0, EVENTS))
    await came(it, channel, range(0, EVENTS))
    return client.unordered ?? 'yes'
  })
}

/** What one emits another gets; the callback says where it stands in the log. */
async function publish(client) {
  return using(client, {}, async (one) => using(client, {}, async (other) => {
    await one.connected()
    await other.connected()
    const channel = `approvals:${room().replace(':', '-')}`
    await joins(other, channel)
    const [answer] = await one.call('publish', channel, 'approved', { by: 'one' })
    assert.equal(answer?.type, 'ok', `publish: ${JSON.stringify(answer)}`)
    assert.ok(answer.seq > 0, `publish: ${JSON.stringify(answer)}`)
    const { args } = await other.until('the event', ({ event }) => event === 'approved')
    assert.deepEqual(args[0], { by: 'one' })
    assert.equal(args[1].seq, answer.seq)
    return 'yes'
  }))
}

async function errors(client) {
  return using(client, {}, async (it) => {
    await it.connected()
    const [forbidden] = await it.call('join', 'secret:1')
    assert.deepEqual([forbidden?.type, forbidden?.code], ['error', 'forbidden'], JSON.stringify(forbidden))
    const [unknown] = await it.call('dance', { fast: true })
    assert.deepEqual([unknown?.type, unknown?.code], ['error', 'unknown_type'], JSON.stringify(unknown))
    await joins(it, room())
    return 'yes'
  })
}

/** The client is told why it does not come in: `[code, what the library tells of it]`. */
async function refusal(client, options) {
  return using(client, options, async (it) => {
    const { connect, refused, gave_up, failed } = await it.until('a refusal', (line) => line.connect || line.refused || line.gave_up || line.failed)
    assert.equal(connect, undefined, 'it was let in')
    return [JSON.stringify(refused ?? gave_up ?? failed), refused?.data?.code]
  })
}

async function told(client, options, code, message) {
  const [text, found] = await refusal(client, options)
  if (found === code) return 'yes'
  if (message.test(text) || text.includes(code)) return 'message only'
  throw new Error(`told ${text}`)
}

/**
 * Kills or stops the gateway that a client is connected to while events flow; the client comes back and has all of them, once: with a cursor in
 * `auth`, or by itself.
 */
async function away(client, signal, byItself) {
  const channel = room()
  const auth = byItself ? { recovery: true } : { channels: client.textsOnly ? channel : [channel] }
  return using(client, { auth, resume: !byItself }, async (it) => {
    await it.connected()
    if (byItself) await joins(it, channel)
    await numbered(channel, range(0, 100))
    await came(it, channel, range(0, 100))
    const [port] = nodes.balancer.upgraded.values()
    const flow = flowing(channel)
    const begun = Date.now()
    await nodes.end(port, signal)
    await until(60_000, 'the client to come back', () => it.connections > 1)
    const back = ((Date.now() - begun) / 1000).toFixed(1)
    await flow
    await came(it, channel, range(0, 400))
    const { connect } = it.told.filter((line) => line.connect).at(-1)
    if (byItself) assert.equal(connect.recovered, true, 'recovered')
    return `${back} s`
  })
}

/** Publishes while something else happens. */
async function flowing(channel) {
  for (let n = 100; n < 400; n += 10) {
    await numbered(channel, range(n, n + 10))
    await new Promise((go) => setTimeout(go, 20))
  }
}

/** By column. */
export const checks = {
  websocket,
  polling,
  upgrade,
  rooms: joinAndLeave,
  order,
  publish,
  errors,
  namespace: (client) => told(client, { namespace: '/nope' }, 'invalid_namespace', /Invalid namespace/),
  token: (client) => told(client, { auth: { token: forged(stack.token) } }, 'token_signature', /token/),
  expired: (client) => told(client, { auth: { token: expired(stack.token) } }, 'token_expired', /token/),
  killed: (client) => away(client, 'SIGKILL', false),
  stopped: (client) => away(client, 'SIGTERM', false),
  recovered: (client) => (client.recovers ? away(client, 'SIGKILL', true) : '–'),
}
