// What must work through a proxy, whichever it is?
//
// Each check gives the words of the table, or throws why not.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHmac, randomUUID } from 'node:crypto'
import http2 from 'node:http2'

import { until, within } from '../interop/checks.mjs'
import { need, stack } from '../interop/stack.mjs'
import { PATIENCE, Socket, Stream, ask, posted, publish } from './client.mjs'
import { Proxy } from './proxies.mjs'
import { BEFORE } from './services.mjs'

const ORIGIN = 'https://page.example'
/** Headers that a page asks for. */
const ASKED = 'authorization,ce-id,content-type'
const HEAD = 32 * 1024
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE']
/** Above every time-out of a minute. */
const QUIET = 65_000
/** As large as an event may be, to a hundred channels of the longest names. */
const LARGEST = 65_536
const OWN = 2
/** At once through one proxy. */
const SOCKETS = 2_000
const STREAMS = 200
/** So many are on their way in at a time. */
const COMING = 50

const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))
const bearer = { authorization: `Bearer ${stack.token}` }

/** Tells the stack's Postgres something. */
function sql(...commands) {
  for (const command of commands) execFileSync(need('CARILLON_PSQL'), ['-qAt', '-v', 'ON_ERROR_STOP=1', '-d', JSON.parse(need('CARILLON_ENVIRONMENT')).DATABASE_URL, '-c', command])
}

/** A token of this user, as long as is wanted. */
function token(bytes) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const head = part({ alg: 'HS256', typ: 'JWT' })
  const make = (padding) => {
    const claims = { sub: 'tester', tenant: stack.tenant, channels: ['contact:*'], exp: Math.floor(Date.now() / 1000) + 3600, padding: 'x'.repeat(padding) }
    const signed = `${head}.${part(claims)}`
    return `${signed}.${createHmac('sha256', need('CARILLON_JWT_SECRET')).update(signed).digest('base64url')}`
  }
  const padding = Math.floor((bytes - make(0).length) * 0.75) - 2
  const made = make(padding)
  assert.ok(made.length <= bytes && made.length > bytes - 8, `${made.length}`)
  return made
}

const contacts = (count) => Array.from({ length: count }, (_, n) => `contact:${randomUUID().slice(0, 28)}${String(n).padStart(8, '0')}`)

async function welcomed(proxy, options) {
  const socket = await Socket.open(proxy, options)
  assert.equal(socket.hello.tenant, stack.tenant)
  socket.leave()
}

/** Asks for a WebSocket from an address, and waits for whatever is answered. */
async function knockAt(proxy, from, headers = {}) {
  const socket = new Socket(proxy, { from, headers })
  await until(PATIENCE, 'an answer', () => socket.frames.length || socket.closed)
  return socket
}

/** Behind two balancers, each of which writes a line of its own, the client's address counts: several lines are one list. */
async function believes(kind, fleet) {
  const [first, second] = BEFORE
  const proxy = await Proxy.start(kind, [fleet.narrow], fleet.publishers, (it) => kind.behind(it, BEFORE))
  const sockets = []
  const knock = async (from, lines, wanted) => {
    const socket = await knockAt(proxy, from, { 'x-forwarded-for': lines })
    sockets.push(socket)
    assert.equal(socket.closed?.code, wanted, `${from} says ${JSON.stringify(lines)}`)
  }
  try {
    for (const client of ['203.0.113.1', '203.0.113.2']) {
      for (const wanted of [undefined, undefined, 429]) await knock(second, [`192.0.2.9, ${client}`, first], wanted)
      await knock(second, [`${client}, ${first}`], 429)
    }
    await knock('127.0.7.3', ['203.0.113.1', first], undefined)
  } finally {
    for (const socket of sockets) socket.leave()
    await proxy.end()
  }
}

/** What is said when nobody is there: a problem that a page may read. */
async function problem(proxy, path, method = 'GET') {
  const answer = await ask(proxy, path, { method, headers: { origin: ORIGIN, ...(method === 'POST' ? { 'content-type': 'application/json' } : {}) }, body: method === 'POST' ? '{}' : undefined })
  const told = `${method} ${path}: HTTP ${answer.status} ${answer.headers['content-type']} ${answer.text.slice(0, 80)}`
  assert.equal(answer.status, 503, told)
  assert.equal(answer.headers['content-type']?.split(';')[0], 'application/problem+json', told)
  assert.equal(answer.json?.code, 'unavailable', told)
  assert.equal(answer.json.status, answer.status, told)
  assert.ok(answer.json.request_id, told)
  assert.equal(answer.headers['retry-after'], '1', `${told}: Retry-After`)
  assert.equal(answer.headers['access-control-allow-origin'], '*', `${told}: CORS`)
  assert.match(answer.headers['access-control-expose-headers'] ?? '', /Retry-After/i, told)
  return answer.status
}

async function preflight(proxy, path, method, asked = ASKED) {
  const answer = await ask(proxy, path, { method: 'OPTIONS', headers: { origin: ORIGIN, 'access-control-request-method': method, 'access-control-request-headers': asked } })
  assert.ok(answer.status === 200 || answer.status === 204, `OPTIONS ${path}: HTTP ${answer.status}`)
  assert.ok([ORIGIN, '*'].includes(answer.headers['access-control-allow-origin']), `OPTIONS ${path}: no Access-Control-Allow-Origin`)
  assert.match(answer.headers['access-control-allow-methods'] ?? '', new RegExp(method), `OPTIONS ${path}`)
  const allowed = answer.headers['access-control-allow-headers'] ?? ''
  for (const name of asked.split(',')) assert.ok(allowed.toLowerCase().split(/, */).includes(name), `OPTIONS ${path}: ${name} is not in ${allowed}`)
}

/** An event stream gets 200 from the first moment, or EventSource ends for good. */
async function comesBack(proxy) {
  const stream = await ask(proxy, '/v1/sse', { headers: { origin: ORIGIN } })
  assert.equal(stream.status, 200, `/v1/sse: HTTP ${stream.status}`)
  assert.equal(stream.headers['content-type']?.split(';')[0], 'text/event-stream')
  assert.equal(stream.headers['access-control-allow-origin'], '*')
  const retry = Number(/^retry: (\d+)$/m.exec(stream.text)?.[1])
  assert.ok(retry >= 1000 && retry <= 3000, `retry: ${stream.text}`)
  assert.equal(JSON.parse(/^data: (.*)$/m.exec(stream.text)[1]).code, 'unavailable')
}

/** A path arrives as it was written: a pattern of a rule has braces and stars, and one of them is what a path is called. */
async function spelled(proxy, publisher) {
  const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ subscribe: ['role:front'] })
  for (const [path, pattern] of [['order:%7Border%7D', 'order:{order}'], ['desk:*', 'desk:*'], ['test', 'test'], ['%74est', 'test']]) {
    const rule = (at, method) => ask(at, `/v1/channel-rules/${path}?tenant=${stack.tenant}`, { method, headers, body: method === 'PUT' ? body : undefined })
    const put = await rule(proxy, 'PUT')
    assert.deepEqual([put.status, put.json?.pattern], [200, pattern], `PUT ${path}: ${put.text.slice(0, 120)}`)
    const got = await rule(proxy, 'GET')
    assert.deepEqual([got.status, got.json?.pattern], [200, pattern], `GET ${path}: ${got.text.slice(0, 120)}`)
    assert.equal((await rule(proxy, 'DELETE')).status, 204, `DELETE ${path}`)
    assert.equal((await rule(publisher, 'GET')).status, 404, path)
  }
}

/** Sockets all over the fleet. */
async function spread(proxy, count = 9) {
  const sockets = []
  for (let n = 0; n < count; n += 1) sockets.push(await Socket.open(proxy))
  return sockets
}

/** Newcomers for a while; none may be refused, unless with 503 by a gateway that drains where the proxy tries no other. */
async function newcomers(proxy, milliseconds, refused = []) {
  const end = Date.now() + milliseconds
  do {
    const socket = new Socket(proxy)
    await socket.frame('welcome').catch((error) => {
      if (!refused.includes(socket.closed?.code)) throw new Error(`a newcomer is refused: ${error.message}`)
    })
    socket.leave()
    await pause(20)
  } while (Date.now() < end)
}

const undisturbed = (sockets) => {
  const lost = sockets.filter(({ closed }) => closed)
  assert.equal(lost.length, 0, `${lost.length} of ${sockets.length} sockets of other gateways were cut: ${lost[0]?.closed.code}`)
}

export const checks = {
  async token({ proxy }) {
    await welcomed(proxy)
    await welcomed(proxy, { token: null, protocols: ['carillon.v1', `bearer.${stack.token}`] })
    await welcomed(proxy, { token: null, query: { token: stack.token } })
    await welcomed(proxy, { path: '/ws' })
    const socket = new Socket(proxy, { token: null })
    await until(PATIENCE, 'the upgrade', () => socket.opened || socket.closed)
    assert.ok(socket.opened, socket.closed?.reason)
    socket.send({ type: 'auth', token: stack.token })
    await socket.frame('welcome')
    socket.leave()
    return 'yes'
  },

  async sse({ proxy }) {
    const stream = await Stream.open(proxy, { query: { channels: 'contact:sse' } })
    await stream.frame('welcome', undefined, 2_000)
    // One by one: an event that waited for the next in somebody's buffer would never come.
    for (let n = 0; n < 3; n += 1) {
      const seq = await publish(proxy, { channels: ['contact:sse'], data: { n } })
      await stream.frame('event', (frame) => frame.seq === seq, 2_000)
    }
    stream.leave()
    return 'yes'
  },

  async poll({ proxy }) {
    const { json: here } = await ask(proxy, '/v1/poll?channels=contact:poll', { headers: bearer })
    const asked = ask(proxy, `/v1/poll?channels=contact:poll&since=${here.seq}&epoch=${here.epoch}&wait=20`, { headers: bearer })
    await pause(300)
    const seq = await publish(proxy, { channels: ['contact:poll'] })
    const { status, json } = await asked
    assert.equal(status, 200)
    assert.deepEqual(json.events.map((event) => event.seq), [seq])
    return 'yes'
  },

  async rest({ proxy }) {
    const type = `rest.${randomUUID()}`
    const seq = await publish(proxy, { type, channels: ['contact:rest'] })
    const listed = await ask(proxy, `/v1/events?type=${type}`, { headers: bearer, })
    assert.equal(listed.status, 200, listed.text)
    const own = await ask(proxy, `/v1/events?type=${type}&channel=contact:rest`, { headers: bearer })
    assert.deepEqual(own.json.events.map((event) => event.seq), [seq])
    const many = (count) => ask(proxy, '/v1/events', {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify(Array.from({ length: count }, () => ({ tenant: stack.tenant, type, channels: ['contact:rest'], data: 'x'.repeat(60_000) }))),
    })
    // A body as large as a publisher takes; beyond that it is the publisher who answers.
    assert.equal((await many(17)).status, 201)
    const refused = await many(34)
    assert.deepEqual([refused.status, refused.json?.code], [413, 'body_too_large'], `${refused.status} ${refused.text.slice(0, 80)}`)
    for (const path of ['/metrics', '/readyz', '/livez', '/v1/ws/', '/v1/wsx']) assert.equal((await ask(proxy, path)).status, 404, path)
    for (const path of ['/', '/docs', '/openapi.json']) assert.equal((await ask(proxy, path)).status, 200, path)
    return 'yes'
  },

  /** Each path of the contract is sent to who has it: whoever does not have a path says 404 to it, also to those who show nothing. */
  async paths({ proxy, fleet }) {
    const [gateway, publisher] = [fleet.gateways[0], fleet.publishers[0]]
    const document = async (path) => (await ask(publisher, path)).json
    const [rest, sockets] = [await document('/openapi.json'), await document('/asyncapi.json')]
    const wanted = METHODS.flatMap((method) => Object.keys(rest.paths).filter((path) => rest.paths[path][method.toLowerCase()]).map((path) => [method, path, publisher, gateway]))
    const addresses = ['/ws', '/socket.io/', '/socket.io', ...Object.values(sockets.channels).map(({ address }) => address)]
    wanted.push(...addresses.map((path) => [path === '/v1/commands' ? 'POST' : 'GET', path, gateway, publisher]))
    assert.ok(wanted.length > 30, `${wanted.length} operations`)
    for (const [method, path, owner, other] of wanted) {
      const [said, elsewhere, through] = await Promise.all([owner, other, proxy].map((at) => ask(at, path.replaceAll(/\{[^}]*\}/g, 'x'), { method })))
      assert.notEqual(said.status, 404, `${method} ${path}: ${owner.name} does not know it`)
      assert.equal(elsewhere.status, 404, `${method} ${path}: ${other.name} has it, too`)
      assert.deepEqual([through.status, through.json?.code], [said.status, said.json?.code], `${method} ${path}`)
    }
    await spelled(proxy, publisher)
    return 'yes'
  },

  async channels({ proxy }) {
    const socket = new Socket(proxy, { token: null })
    await until(PATIENCE, 'the upgrade', () => socket.opened || socket.closed)
    const names = contacts(1_000 - OWN)
    socket.send({ type: 'auth', token: stack.token, channels: names })
    const welcome = await socket.frame('welcome')
    assert.equal(welcome.channels.length, 1_000)
    // An event stream and a poll say as much in a form.
    const form = { channels: names.join(), since: welcome.seq, epoch: welcome.epoch }
    const stream = await Stream.open(proxy, { form })
    assert.equal((await stream.frame('welcome')).channels.length, 1_000)
    const seq = await publish(proxy, { channels: [names.at(-1)] })
    await socket.event(seq)
    await stream.frame('event', (frame) => frame.seq === seq)
    const polled = await ask(proxy, '/v1/poll', posted(form, bearer))
    assert.deepEqual([polled.status, polled.json?.events?.map((event) => event.seq)], [200, [seq]], polled.text.slice(0, 120))
    socket.leave()
    stream.leave()
    return 'yes'
  },

  /** A token of 8 KiB wherever it may stand, and beside it as much of a URL as a head has room for. */
  async head({ proxy }) {
    const long = token(8 * 1024)
    await welcomed(proxy, { token: long })
    await welcomed(proxy, { token: null, query: { token: long } })
    await welcomed(proxy, { token: null, protocols: ['carillon.v1', `bearer.${long}`] })
    const stream = await Stream.open(proxy, { token: long })
    await stream.frame('welcome')
    stream.leave()
    assert.equal((await ask(proxy, '/v1/events?limit=1', { headers: { authorization: `Bearer ${long}` } })).status, 200)
    // 49 bytes a channel as libraries encode it; 450 beside a token of 8 KiB are 30,600.
    const socket = await Socket.open(proxy, { token: long, query: { channels: contacts(450).join(',') } })
    assert.equal(socket.hello.channels.length, 450 + OWN)
    socket.leave()
    // A head of 32,000 bytes whatever it is made of.
    for (const [path, headers] of [['/v1/poll', { 'x-padding': 'x'.repeat(31_000) }], [`/v1/poll?padding=${'x'.repeat(31_000)}`, {}]]) {
      const { status, text } = await ask(proxy, path, { headers: { ...bearer, ...headers } })
      assert.equal(status, 200, `a head of 32,000 bytes: HTTP ${status} ${text.slice(0, 80)}`)
    }
    return 'yes'
  },

  /** What is said above it, to a URL and to a header. */
  async over({ proxy }) {
    const url = await ask(proxy, `/v1/poll?padding=${'x'.repeat(HEAD + 8_192)}`, { headers: bearer }).catch(({ code }) => ({ status: code }))
    const header = await ask(proxy, '/v1/poll', { headers: { ...bearer, 'x-padding': 'x'.repeat(HEAD + 8_192) } }).catch(({ code }) => ({ status: code }))
    const rest = await ask(proxy, '/v1/events', { headers: { ...bearer, 'x-padding': 'x'.repeat(HEAD + 8_192) } }).catch(({ code }) => ({ status: code }))
    const told = [...new Set([url.status, header.status, rest.status])]
    for (const status of told) assert.ok([400, 413, 414, 431].includes(status), `URL ${url.status}, header ${header.status}, REST ${rest.status}`)
    return url.status === header.status && header.status === rest.status ? `${url.status}` : `${url.status} (URL), ${header.status} (header)`
  },

  async largest({ proxy }) {
    const socket = await Socket.open(proxy, { query: { channels: 'contact:large' } })
    const stream = await Stream.open(proxy, { query: { channels: 'contact:large' } })
    await stream.frame('welcome')
    const channels = ['contact:large', ...Array.from({ length: 99 }, (_, n) => `contact:${n}`.padEnd(128, 'x'))]
    const base = { type: 'large', channels, id: randomUUID(), time: '2026-03-01T09:30:00Z' }
    const envelope = JSON.stringify({ specversion: '1.0', id: base.id, source: 'api', type: base.type, time: base.time, data: '' }).length
    const seq = await publish(proxy, { ...base, data: 'x'.repeat(LARGEST - envelope) })
    const { event } = await socket.event(seq)
    assert.ok(event.data.length > 65_000)
    await stream.frame('event', (frame) => frame.seq === seq)
    socket.leave()
    stream.leave()
    return 'yes'
  },

  async cors({ proxy }) {
    await preflight(proxy, '/v1/events', 'POST')
    for (const method of ['PUT', 'DELETE']) await preflight(proxy, '/v1/channel-rules/contact:*', method)
    await preflight(proxy, '/v1/sse', 'GET', 'authorization,cache-control')
    for (const path of ['/v1/sse', '/v1/poll']) await preflight(proxy, path, 'POST', 'authorization')
    await preflight(proxy, '/v1/poll', 'GET', 'authorization')
    for (const [path, status] of [['/v1/events', 401], ['/v1/poll', 401]]) {
      const answer = await ask(proxy, path, { headers: { origin: ORIGIN } })
      assert.equal(answer.status, status)
      assert.ok([ORIGIN, '*'].includes(answer.headers['access-control-allow-origin']), `${path}: ${answer.headers['access-control-allow-origin']}`)
    }
    return 'yes'
  },

  /** Two connections of an address come in, whatever they say about themselves. */
  async address({ kind, alone, hosts, fleet }) {
    const [mine, other] = hosts
    const knock = (from, headers) => knockAt(alone, from, headers)
    const refused = async (headers) => {
      const { closed } = await knock(mine, headers)
      assert.equal(closed?.code, 429, `${JSON.stringify(headers)}: ${closed ? closed.code : 'it came in'}`)
    }
    const first = await knock(mine)
    const second = await knock(mine)
    assert.ok(!first.closed && !second.closed, `two of ${mine} come in: ${first.closed?.code} ${second.closed?.code}`)
    await refused({})
    const lies = ['198.51.100.9', '198.51.100.9, 127.0.0.1', '127.0.0.1', 'nonsense', ['198.51.100.9', '127.0.0.1'], ['127.0.0.1', '198.51.100.9']]
    for (const lie of lies) await refused({ 'x-forwarded-for': lie })
    for (const lie of ['for=198.51.100.9', ['for=127.0.0.1', 'for=198.51.100.9']]) await refused({ forwarded: lie })
    const third = await knock(other)
    assert.ok(!third.closed, `another address comes in: ${third.closed?.code}`)
    for (const socket of [first, second, third]) socket.leave()
    await believes(kind, fleet)
    return 'yes'
  },

  async kill({ proxy, fleet }) {
    const sockets = await spread(proxy)
    const name = sockets[0].hello.node
    const others = sockets.filter(({ hello }) => hello.node !== name)
    assert.ok(others.length >= 4, `all are at one gateway: ${sockets.map(({ hello }) => hello.node)}`)
    const victim = fleet.gateways.find((gateway) => gateway.name === name)
    await victim.end('SIGKILL')
    await newcomers(proxy, 1_500)
    const lost = sockets.filter(({ hello }) => hello.node === name)
    await until(PATIENCE, 'the end of the sockets at the gateway that died', () => lost.every(({ closed }) => closed))
    undisturbed(others)
    const seq = await publish(proxy, { tenant_wide: true })
    await Promise.all(others.map((socket) => socket.event(seq)))
    for (const socket of sockets) socket.leave()
    await victim.revive()
    // It gets newcomers again.
    const back = []
    await until(45_000, `a newcomer at ${name}`, async () => {
      back.push(await Socket.open(proxy))
      await pause(100)
      return back.at(-1).hello.node === name
    })
    for (const socket of back) socket.leave()
    return 'yes'
  },

  async drain({ proxy, kind, fleet }) {
    const sockets = await spread(proxy)
    const name = sockets[0].hello.node
    const [there, others] = [true, false].map((is) => sockets.filter(({ hello }) => (hello.node === name) === is))
    const leaving = fleet.gateways.find((gateway) => gateway.name === name)
    const ended = leaving.end('SIGTERM')
    try {
      await newcomers(proxy, 3_000, kind.repeats === false ? [503] : [])
    } finally {
      await ended
    }
    await until(PATIENCE, 'a close', () => there.every(({ closed }) => closed))
    for (const { closed, frames } of there) {
      assert.ok(frames.some(({ type }) => type === 'goaway'), 'no goaway')
      assert.equal(closed.code, 1012)
    }
    undisturbed(others)
    for (const socket of sockets) socket.leave()
    await leaving.revive()
    return kind.repeats === false ? 'yes; until it is noticed newcomers may hear 503 first' : 'yes'
  },

  async reload({ proxy }) {
    const sockets = await spread(proxy, 6)
    const stream = await Stream.open(proxy)
    await stream.frame('welcome')
    const coming = newcomers(proxy, 4_000)
    coming.catch(() => {})
    await pause(300)
    await proxy.reload()
    await coming
    // Longer than the usual seconds of grace.
    await pause(12_000)
    const kept = sockets.filter(({ closed }) => !closed).length
    const closed = sockets.find((socket) => socket.closed)?.closed
    assert.ok(kept === sockets.length, `${sockets.length - kept} of ${sockets.length} sockets were cut: ${closed?.code} ${closed?.reason}`)
    assert.ok(!stream.ended, 'the event stream was cut')
    const seq = await publish(proxy, { tenant_wide: true })
    await Promise.all(sockets.map((socket) => socket.event(seq)))
    await stream.frame('event', (frame) => frame.seq === seq)
    for (const socket of sockets) socket.leave()
    stream.leave()
    return 'yes'
  },

  /** Publishers that take no events are not ready, all of them, and yet nobody else can say why. */
  async outage({ proxy, fleet }) {
    sql('ALTER SYSTEM SET default_transaction_read_only = on', 'SELECT pg_reload_conf()')
    try {
      await until(PATIENCE, 'nobody ready', async () => (await Promise.all(fleet.publishers.map(({ ready }) => ready))).every((ready) => !ready))
      for (const end = Date.now() + 4_000; Date.now() < end; await pause(200)) {
        const answer = await ask(proxy, '/v1/events', { method: 'POST', headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' }, body: JSON.stringify({ tenant: stack.tenant, type: 'outage', tenant_wide: true }) })
        assert.deepEqual([answer.status, answer.json?.code], [503, 'database_read_only'], `${answer.status} ${answer.text.slice(0, 120)}`)
        assert.equal((await ask(proxy, '/docs')).status, 200)
      }
    } finally {
      sql('ALTER SYSTEM RESET default_transaction_read_only', 'SELECT pg_reload_conf()')
    }
    await publish(proxy, { tenant_wide: true }, 30_000)
    return 'yes'
  },

  async publishers({ proxy, fleet }) {
    const socket = await Socket.open(proxy)
    await Promise.all(fleet.publishers.map((publisher) => publisher.end('SIGKILL')))
    // The first requests find out; the contract holds for them, too.
    await problem(proxy, '/v1/events', 'POST')
    await pause(3_000)
    await problem(proxy, '/v1/events', 'POST')
    const status = await problem(proxy, '/v1/events')
    await preflight(proxy, '/v1/events', 'POST')
    for (const method of ['PUT', 'DELETE']) await preflight(proxy, '/v1/channel-rules/contact:*', method)
    assert.ok(!socket.closed, 'a socket was cut')
    socket.leave()
    await Promise.all(fleet.publishers.map((publisher) => publisher.revive()))
    await publish(proxy, { tenant_wide: true }, 30_000)
    return `${status}`
  },

  async gateways({ proxy, fleet }) {
    await Promise.all(fleet.gateways.map((gateway) => gateway.end('SIGKILL')))
    await comesBack(proxy)
    await problem(proxy, '/v1/poll')
    await pause(3_000)
    await problem(proxy, '/v1/ws')
    const status = await problem(proxy, '/v1/poll')
    await preflight(proxy, '/v1/sse', 'GET')
    await comesBack(proxy)
    // REST goes on.
    await publish(proxy, { tenant_wide: true })
    await Promise.all(fleet.gateways.map((gateway) => gateway.revive()))
    await until(30_000, 'a welcome', () => welcomed(proxy).then(() => true, () => false))
    return `${status}`
  },

  /** More than the defaults of some proxies have room for: all come in, all hear an event, none is cut, and others get in still. */
  async many({ proxy, fleet }) {
    const query = { channels: 'contact:many' }
    const sockets = []
    const streams = []
    const left = [...Array.from({ length: SOCKETS }, () => async () => sockets.push(await Socket.open(proxy, { query }))),
      ...Array.from({ length: STREAMS }, () => async () => {
        const stream = await Stream.open(proxy, { query })
        streams.push(stream)
        await stream.frame('welcome')
      })]
    const come = async () => { for (let next; (next = left.pop());) await next() }
    try {
      await Promise.all(Array.from({ length: COMING }, come)).catch((error) => {
        throw new Error(`${sockets.length} sockets and ${streams.length} event streams are in, the next: ${error.message}`)
      })
      const nodes = new Set(sockets.map(({ hello }) => hello.node))
      assert.equal(nodes.size, fleet.gateways.length, 'some gateway got none')
      const published = Date.now()
      const seq = await publish(proxy, { channels: ['contact:many'] })
      await Promise.all([...sockets, ...streams].map((it) => (it.event ? it.event(seq) : it.frame('event', (frame) => frame.seq === seq))))
      const heard = Date.now() - published
      await welcomed(proxy)
      assert.equal((await ask(proxy, '/docs')).status, 200)
      await pause(3_000)
      const cut = [...sockets.filter(({ closed }) => closed), ...streams.filter(({ ended }) => ended)].length
      assert.equal(cut, 0, `${cut} were cut`)
      if (process.env.CARILLON_PROXIES_LOUD) console.log(`    all heard the event within ${heard} ms`)
      return 'yes'
    } finally {
      for (const it of [...sockets, ...streams]) it.leave()
      left.length = 0
    }
  },

  /** Whether browsers may put WebSockets on an HTTP/2 connection (RFC 8441), where all of a page share its streams. */
  async h2({ kind, fleet }) {
    if (kind.h2 === false) return '–'
    const proxy = await Proxy.start(kind, fleet.gateways, fleet.publishers, kind.h2)
    try {
      const session = http2.connect(`http://${proxy.address}`)
      session.on('error', () => {})
      const settings = await within(PATIENCE, 'the settings', new Promise((done) => session.once('remoteSettings', done)))
      const status = await within(PATIENCE, 'an answer', new Promise((done) => session.request({ ':path': '/v1/poll' }).on('response', (head) => done(head[':status'])).end()))
      session.destroy()
      assert.equal(status, 401)
      assert.ok(!settings.enableConnectProtocol, `WebSockets share one connection and its ${settings.maxConcurrentStreams} streams`)
      return 'WebSockets stay on HTTP/1.1'
    } finally {
      await proxy.end()
    }
  },

  /** Sockets and streams on which nothing but heartbeats comes, for longer than time-outs of a minute. */
  async quiet({ quiet }) {
    await pause(Math.max(0, quiet.since + QUIET - Date.now()))
    assert.ok(!quiet.socket.closed, `the socket was cut: ${quiet.socket.closed?.code} ${quiet.socket.closed?.reason}`)
    assert.ok(!quiet.stream.ended, 'the event stream was cut')
    const { status } = await quiet.poll
    assert.equal(status, 200, `a poll of 50 s: HTTP ${status}`)
    return 'yes'
  },
}

/** Begins what `quiet` looks at in the end. */
export async function silence(proxy) {
  const socket = await Socket.open(proxy, { from: '127.0.0.31' })
  const stream = await Stream.open(proxy)
  const { json: here } = await ask(proxy, '/v1/poll?channels=contact:nothing', { headers: bearer, from: '127.0.0.32' })
  const poll = ask(proxy, `/v1/poll?channels=contact:nothing&since=${here.seq}&epoch=${here.epoch}&wait=50`, { headers: bearer, from: '127.0.0.32' })
  poll.catch(() => {})
  return { since: Date.now(), socket, stream, poll }
}
