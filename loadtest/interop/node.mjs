// Can Node's `ws` use Carillon?

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'

import WebSocket from 'ws'

import { Checks, until, within } from './checks.mjs'
import { Flow, address, publish, setRule, stack } from './stack.mjs'

const [first] = stack.gateways
const { version } = JSON.parse(readFileSync(new URL('node_modules/ws/package.json', import.meta.url)))
const checks = new Checks(`Node ${process.versions.node}, ws ${version}`)

/** A connection that keeps every frame, and the code it was closed with. */
class Client {
  frames = []
  closed = null

  constructor(gateway, { query, header = stack.token, protocols = [] } = {}) {
    const headers = header ? { authorization: `Bearer ${header}` } : {}
    this.ws = new WebSocket(address(gateway, query), protocols, { headers })
    this.ws.on('message', (data, binary) => {
      assert.equal(binary, false, 'a gateway sends text only')
      this.frames.push(JSON.parse(data))
    })
    this.ws.on('close', (code, reason) => { this.closed = { code, reason: String(reason) } })
    this.ws.on('error', (error) => { this.error = error })
  }

  async frame(wanted) {
    let found
    await until(5000, `a frame that ${wanted}`, () => {
      found = this.frames.find(wanted)
      return found || this.closed
    })
    if (!found) throw new Error(`closed with ${JSON.stringify(this.closed)} (${this.error}) instead of a frame that ${wanted}`)
    return found
  }

  welcome() {
    return this.frame((frame) => frame.type === 'welcome')
  }

  async ask(request) {
    this.ws.send(JSON.stringify(request))
    return this.frame((frame) => frame.id === request.id && ['ok', 'error', 'pong', 'welcome'].includes(frame.type))
  }

  async ended() {
    await until(5000, 'a close', () => this.closed)
    return this.closed
  }

  async bye() {
    this.ws.close(1000)
    assert.equal((await this.ended()).code, 1000)
  }
}

await checks.check('token in the header', async () => {
  const client = new Client(first)
  const welcome = await client.welcome()
  assert.equal(welcome.tenant, stack.tenant)
  assert.ok(welcome.channels.includes('tenant'))
  assert.equal((await client.ask({ type: 'ping', id: 1, data: { a: 1 } })).data.a, 1)
  await client.bye()
})

await checks.check('token in the subprotocol', async () => {
  const client = new Client(first, { header: null, protocols: ['carillon.v1', `bearer.${stack.token}`] })
  await client.welcome()
  assert.equal(client.ws.protocol, 'carillon.v1')
  await client.bye()
})

await checks.check('token in the query', async () => {
  const client = new Client(first, { header: null, query: { token: stack.token } })
  await client.welcome()
  await client.bye()
})

await checks.check('token in the first frame', async () => {
  const client = new Client(first, { header: null })
  client.ws.on('open', () => client.ws.send(JSON.stringify({ type: 'auth', token: stack.token })))
  await client.welcome()
  await client.bye()
})

await checks.check('a bad token is refused with 401 before the upgrade', async () => {
  const ws = new WebSocket(first, { headers: { authorization: 'Bearer bad' } })
  ws.on('error', () => {})
  const answer = await within(5000, 'an answer', new Promise((resolve) => ws.on('unexpected-response', (_, response) => resolve(response))))
  assert.equal(answer.statusCode, 401)
  assert.match(answer.headers['content-type'], /^application\/problem\+json/)
  answer.destroy()
})

await checks.check('subscribe, and a forbidden channel by name', async () => {
  const client = new Client(first)
  await client.welcome()
  const ok = await client.ask({ type: 'subscribe', id: 's', channels: ['contact:1'] })
  assert.deepEqual([ok.type, ok.channels], ['ok', ['contact:1']])
  const refused = await client.ask({ type: 'subscribe', id: 'f', channels: ['contact:2', 'secret:1'] })
  assert.deepEqual([refused.type, refused.code, refused.channels], ['error', 'forbidden', ['secret:1']])
  const older = await client.ask({ type: 'UNSUBSCRIBE', id: 'u', data: { room: 'contact:1' } })
  assert.equal(older.type, 'ok')
  await client.bye()
})

await checks.check('what one says and types the others in the channel hear', async () => {
  await setRule('page:{page}', { subscribe: ['anyone'], publish: ['anyone'], signal: ['anyone'] })
  const [speaker, listener] = [new Client(first), new Client(stack.gateways.at(-1))]
  for (const client of [speaker, listener]) {
    await client.welcome()
    let n = 0
    await until(5000, 'the rule', async () => (await client.ask({ type: 'subscribe', id: `s${n += 1}`, channel: 'page:1' })).type === 'ok')
  }
  const ok = await speaker.ask({ type: 'publish', id: 'p', channel: 'page:1', event: { type: 'moved', data: { x: 1 } } })
  assert.deepEqual(ok, { type: 'ok', id: 'p' })
  await speaker.ask({ type: 'typing', id: 't', channel: 'page:1', state: 'start' })
  await listener.frame((frame) => frame.type === 'signal' && frame.event.type === 'typing' && frame.event.data.state === 'start')
  const said = listener.frames.find((frame) => frame.type === 'signal')
  assert.deepEqual(said, { type: 'signal', channel: 'page:1', from: 'tester', event: { type: 'moved', data: { x: 1 } } })
  await speaker.bye()
  await listener.frame((frame) => frame.type === 'signal' && frame.event.data.state === 'stop')
  assert.equal(speaker.frames.some((frame) => frame.type === 'signal'), false)
  await listener.bye()
})

await checks.check('who is here is told with their coming and going', async () => {
  await setRule('branch:{branch}', { subscribe: ['anyone'], presence: ['anyone'] })
  const watcher = new Client(first)
  await watcher.welcome()
  let n = 0
  const watch = () => watcher.ask({ type: 'subscribe', id: `w${n += 1}`, channel: 'branch:1', presence: true })
  let seen
  await until(5000, 'the rule', async () => (seen = await watch()).type === 'ok')
  assert.deepEqual(seen.presence['branch:1'].members.map((member) => member.user), ['tester'])
  const said = await watcher.ask({ type: 'presence', id: 'm', channel: 'branch:1', meta: { desk: 4 } })
  assert.equal(said.type, 'ok')
  await watcher.frame((frame) => frame.type === 'presence' && frame.updated.some((member) => member.meta?.desk === 4))
  const asked = await watcher.ask({ type: 'presence', id: 'a', channel: 'branch:1' })
  assert.equal(asked.presence['branch:1'].count, 1)
  await watcher.bye()
})

await checks.check('some types alone, and the latest event of every key first', async () => {
  for (const sent of [10, 40]) await publish({ type: 'campaign.progress', channels: ['contact:20'], key: 'campaign-4', data: { sent } })
  const { seq } = await publish({ type: 'note', channels: ['contact:20'] })
  const client = new Client(first)
  await client.welcome()
  let n = 0
  // Until this gateway has heard of all of it.
  await until(5000, 'the head', async () => (await client.ask({ type: 'ping', id: `p${n += 1}` })).seq >= seq)
  const ok = await client.ask({ type: 'subscribe', id: 'l', channel: 'contact:20', types: ['campaign.*'], latest: true })
  assert.equal(ok.type, 'ok')
  assert.equal((await client.frame((frame) => frame.type === 'replayed' && frame.id === 'l')).count, 1)
  const [latest] = client.frames.filter((frame) => frame.type === 'event' && frame.replay === 'l')
  assert.deepEqual([latest.event.latestkey, latest.event.data], ['campaign-4', { sent: 40 }])
  await publish({ type: 'note', channels: ['contact:20'] })
  const wanted = await publish({ type: 'campaign.completed', channels: ['contact:20'] })
  await client.frame((frame) => frame.type === 'event' && frame.seq === wanted.seq)
  const live = client.frames.filter((frame) => frame.type === 'event' && frame.replay === undefined)
  assert.deepEqual(live.map((frame) => frame.event.type), ['campaign.completed'])
  await client.bye()
})

await checks.check('published into the log, acknowledged by a device, and what was done', async () => {
  await setRule('approvals', { subscribe: ['anyone'], publish: ['anyone'], durable: true })
  const client = new Client(first, { query: { device: 'laptop' } })
  await client.welcome()
  let n = 0
  await until(5000, 'the rule', async () => (await client.ask({ type: 'subscribe', id: `s${n += 1}`, channel: 'approvals' })).type === 'ok')
  const event = { type: 'approval.asked', id: 'trip-12', data: { trip: 'Museum' } }
  const stored = await client.ask({ type: 'publish', id: 1, channel: 'approvals', event })
  assert.deepEqual([stored.type, stored.event], ['ok', 'trip-12'])
  const again = await client.ask({ type: 'publish', id: 2, channel: 'approvals', event })
  assert.equal(again.seq, stored.seq, 'a repeat is the same event')
  await client.frame((frame) => frame.type === 'event' && frame.seq === stored.seq)
  assert.equal((await client.ask({ type: 'ack', id: 3, seq: stored.seq })).type, 'ok')
  assert.equal((await client.ask({ type: 'ack', id: 4, seq: stored.seq + 1_000 })).code, 'ack_ahead')
  assert.equal((await client.ask({ type: 'activity', id: 5, name: 'page.opened', data: { path: '/' } })).type, 'ok')
  assert.equal((await client.ask({ type: 'activity', id: 6, name: 'no spaces' })).code, 'invalid_frame')
  await client.bye()
})

await checks.check('two tenants on one connection', async () => {
  const second = `${stack.tenant}-2`
  const client = new Client(first, { header: stack.tokenOfTwo })
  assert.equal((await client.welcome()).tenant, stack.tenant)
  const attached = await client.ask({ type: 'attach', id: 'a', tenant: second })
  assert.deepEqual([attached.type, attached.tenant, attached.roles], ['welcome', second, ['head']])
  const event = { type: 'fee.paid', roles: ['head'] }
  const there = await publish({ ...event, tenant: second })
  const here = await publish(event)
  const of = (tenant, seq) => client.frame((frame) => frame.type === 'event' && frame.tenant === tenant && frame.seq === seq)
  await of(second, there.seq)
  await of(stack.tenant, here.seq)
  assert.equal((await client.ask({ type: 'attach', id: 'x', tenant: 'interop-nobody' })).code, 'forbidden')
  const left = await client.ask({ type: 'detach', id: 'd', tenant: second })
  assert.deepEqual([left.type, left.tenant], ['ok', second])
  const switched = await client.ask({ type: 'switch', id: 's', tenant: second })
  assert.deepEqual([switched.type, switched.tenant], ['welcome', second])
  await publish(event)
  const last = await publish({ ...event, tenant: second })
  await client.frame((frame) => frame.type === 'event' && frame.tenant === undefined && frame.seq === last.seq)
  assert.equal(client.frames.filter((frame) => frame.type === 'event').length, 3, 'nothing of the tenant that was left')
  await client.bye()
})

await checks.check('the connection of the guide', async () => {
  const page = readFileSync(new URL('../../docs/guide/people.md', import.meta.url), 'utf8')
  const [, code] = page.match(/```js\n([\s\S]*?)```/)
  const connect = new Function('WebSocket', `${code}\nreturn connect`)(WebSocket)
  const { origin } = new URL(first.replace('ws', 'http'))
  const welcome = await within(5000, 'a welcome', new Promise((resolve) => {
    connect(origin, '/v1/ws?channels=contact:1', stack.token, (frame, ws) => {
      ws.close()
      resolve(frame)
    })
  }))
  assert.deepEqual([welcome.type, welcome.channels.includes('contact:1')], ['welcome', true])
})

await checks.check('an unknown type and bad JSON are answered, the connection stays', async () => {
  const client = new Client(first)
  await client.welcome()
  const unknown = await client.ask({ type: 'dance', id: 7 })
  assert.deepEqual([unknown.type, unknown.code], ['error', 'unknown_type'])
  client.ws.send('{"type":')
  await client.frame((frame) => frame.type === 'error' && frame.code === 'invalid_json')
  client.ws.send(Buffer.from('{"type":"ping","id":8}'), { binary: true })
  await client.frame((frame) => frame.type === 'error' && frame.code === 'invalid_frame')
  assert.equal((await client.ask({ type: 'ping', id: 9 })).type, 'pong')
  await client.bye()
})

await checks.check('an unmasked frame is closed with 4400', async () => {
  const client = new Client(first)
  await client.welcome()
  client.ws._socket.write(Buffer.from([0x81, 2, 0x7b, 0x7d]))
  assert.equal((await client.ended()).code, 4400)
})

await checks.check('a message above the limit is closed with 1009', async () => {
  const client = new Client(first)
  const { limits } = await client.welcome()
  client.ws.send('x'.repeat(limits.message_bytes + 1))
  assert.equal((await client.ended()).code, 1009)
})

await checks.check('history comes ascending and marked, before its end is told', async () => {
  // History ends where the gateway stands when it subscribes: it has to have heard of all five.
  const witness = new Client(first)
  await witness.welcome()
  await witness.ask({ type: 'subscribe', id: 'w', channel: 'contact:9' })
  const seqs = []
  for (let n = 0; n < 5; n += 1) seqs.push((await publish({ type: 'note', channels: ['contact:9'] })).seq)
  await witness.frame((frame) => frame.type === 'event' && frame.seq === seqs[4])
  await witness.bye()
  const client = new Client(first)
  await client.welcome()
  await client.ask({ type: 'subscribe', id: 'h', channel: 'contact:9', history: 3 })
  const replayed = await client.frame((frame) => frame.type === 'replayed')
  assert.deepEqual([replayed.id, replayed.count, replayed.more], ['h', 3, true])
  const history = client.frames.filter((frame) => frame.type === 'event')
  assert.deepEqual(history.map((frame) => [frame.seq, frame.replay]), seqs.slice(2).map((seq) => [seq, 'h']))
  await client.bye()
})

await checks.check('who comes back without a cursor misses what was published meanwhile (so the next check can fail)', async () => {
  const witness = new Client(first)
  await witness.welcome()
  const missed = await publish({ type: 'note', tenant_wide: true })
  await witness.frame((frame) => frame.type === 'event' && frame.seq === missed.seq)
  await witness.bye()
  const after = new Client(first)
  const { resumed, seq } = await after.welcome()
  assert.deepEqual([resumed, seq], ['live', missed.seq])
  const next = await publish({ type: 'note', tenant_wide: true })
  await after.frame((frame) => frame.type === 'event' && frame.seq === next.seq)
  assert.deepEqual(after.frames.filter((frame) => frame.type === 'event').map((frame) => frame.seq), [next.seq])
  await after.bye()
})

await checks.check('cut off again and again while events go on, on changing gateways: nothing missed, nothing twice', async () => {
  let client = new Client(first)
  await client.welcome()
  let cursor = await client.ask({ type: 'subscribe', id: 's', channel: 'contact:1' })
  const seen = []
  const flow = new Flow().start()
  const collect = () => client.frames.filter((frame) => frame.type === 'event').map((frame) => frame.seq)
  const nodes = new Set()
  // A node that has not heard of what was missed yet says `live`, and tells it then.
  let behind = false
  for (let round = 1; round <= 6; round += 1) {
    await until(10_000, 'ten live events', () => collect().length >= 10)
    client.ws.terminate()
    const { seq } = client.frames.findLast((frame) => frame.type === 'event')
    seen.push(...collect())
    cursor = { seq, epoch: cursor.epoch }
    const missed = flow.ours.length + 10
    await until(10_000, 'events while away', () => flow.ours.length >= missed)
    const query = { since: cursor.seq, epoch: cursor.epoch, channels: 'contact:1' }
    client = new Client(stack.gateways[round % stack.gateways.length], { query })
    const { node, resumed, epoch } = await client.welcome()
    assert.ok(['replay', 'live'].includes(resumed), resumed)
    assert.equal(epoch, cursor.epoch)
    behind ||= resumed === 'replay'
    nodes.add(node)
  }
  const expected = await flow.stop()
  await until(10_000, 'the last event', () => collect().at(-1) >= expected.at(-1))
  seen.push(...collect())
  assert.deepEqual(seen.filter((seq) => seq >= expected[0]), expected)
  assert.ok(behind, 'one of six at least was behind')
  assert.ok(nodes.size >= 2, 'at least two gateways took part')
  await client.bye()
})

process.exit(checks.summary())
