// Can curl listen: to an event stream that it resumes by hand, and poll by poll? And say something beside it, without a WebSocket?

import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { promisify } from 'node:util'

import { Checks, until } from './checks.mjs'
import { Flow, address, alive, kill, publish, setRule, stack } from './stack.mjs'

const [, version] = execFileSync('curl', ['--version'], { encoding: 'utf8' }).split(' ')
const checks = new Checks(`curl ${version}`)
const run = promisify(execFile)
const bearer = ['--header', `Authorization: Bearer ${stack.token}`]
const common = ['--silent', '--show-error', '--max-time', '60', '--noproxy', '*']

/** One curl on an event stream, and every message it printed. */
class Listening {
  messages = []
  ended = false
  #text = ''

  constructor(query, lastEventId, credentials = bearer, base = stack.balancer) {
    const resume = lastEventId ? ['--header', `Last-Event-ID: ${lastEventId}`] : []
    const url = address(`${base}/v1/sse`, query)
    this.curl = spawn('curl', [...common, '--no-buffer', ...credentials, ...resume, url], { stdio: ['ignore', 'pipe', 'ignore'] })
    this.curl.stdout.setEncoding('utf8').on('data', (text) => this.#take(text))
    this.curl.on('close', () => { this.ended = true })
  }

  #take(text) {
    const parts = (this.#text + text).split('\n\n')
    // What is not whole was not said: the next curl gets it again.
    this.#text = parts.pop()
    for (const part of parts) {
      const fields = Object.fromEntries(part.split('\n').map((line) => line.match(/^(\w+): (.*)$/).slice(1)))
      this.messages.push({ id: fields.id, frame: JSON.parse(fields.data) })
    }
  }

  get seqs() {
    return this.messages.filter(({ frame }) => frame.type === 'event').map(({ frame }) => frame.seq)
  }

  /** The first frame of this kind that is wanted, as soon as it is there. */
  async frame(type, wanted = () => true) {
    const find = () => this.messages.find(({ frame }) => frame.type === type && wanted(frame))
    await until(10_000, `${type} that is wanted`, find)
    return find().frame
  }

  async welcome() {
    await until(10_000, 'a welcome', () => this.messages.length > 0)
    assert.equal(this.messages[0].frame.type, 'welcome')
    return this.messages[0].frame
  }

  /** The cursor to come back with. */
  get last() {
    return this.messages.findLast(({ id }) => id).id
  }

  async stop() {
    this.curl.kill()
    await until(5000, 'the end of curl', () => this.ended)
  }
}

/** One poll by curl: its status, and what it said. */
function poll(query, headers = bearer) {
  return ask('/v1/poll', query, headers)
}

/** One command by curl. */
function command(frame, query = {}) {
  return ask('/v1/commands', query, [...bearer, '--data', JSON.stringify(frame)])
}

/** A ticket of the person, which curl asks a publisher for. */
async function ticket() {
  const asked = [...common, ...bearer, '--header', 'Content-Type: application/json', '--data', '{}']
  const { stdout } = await run('curl', [...asked, `${stack.publisher}/v1/tickets`])
  return JSON.parse(stdout).ticket
}

/** One request by curl: its status, and what was said. */
async function ask(path, query, headers) {
  const url = address(`${stack.balancer}${path}`, query)
  const { stdout } = await run('curl', [...common, ...headers, '--write-out', '\n%{http_code} %{content_type}', url], { maxBuffer: 1 << 24 })
  const [, body, status, type] = stdout.match(/^([^]*)\n(\d+) (.*)$/)
  return { status: Number(status), type, body: type.includes('json') ? JSON.parse(body) : body }
}

await checks.check('without a token: 401 as a problem', async () => {
  const { status, type, body } = await poll({}, [])
  assert.deepEqual([status, type, body.code], [401, 'application/problem+json', 'token_missing'])
})

await checks.check('a poll begins at the head, waits for an event and gets it', async () => {
  const begin = await poll({ channels: 'contact:1' })
  assert.deepEqual([begin.status, begin.type, begin.body.events], [200, 'application/json', []])
  const { seq, epoch } = begin.body
  const waiting = poll({ channels: 'contact:1', since: seq, epoch })
  await publish({ type: 'note', channels: ['contact:2'] })
  const event = await publish({ type: 'note', channels: ['contact:1'] })
  const { body } = await waiting
  assert.deepEqual([body.events.map((frame) => frame.seq), body.seq], [[event.seq], event.seq])
})

await checks.check('a thousand channels in a form, as the contract writes it, and in a URL 431 or what the balancer says', async () => {
  const names = Array.from({ length: 998 }, (_, n) => `contact:00000000-0000-4000-8000-${String(n).padStart(12, '0')}`)
  const { status } = await poll({ channels: names.join() })
  assert.ok([400, 414, 431].includes(status), `HTTP ${status}`)
  const { seq, epoch } = (await poll({})).body
  const event = await publish({ type: 'note', channels: [names.at(-1)] })
  const form = ['--data-urlencode', `channels=${names.join()}`, '--data', `since=${seq}&epoch=${epoch}`]
  const { status: taken, body } = await poll({}, [...bearer, ...form])
  assert.deepEqual([taken, body.events?.map((frame) => frame.seq)], [200, [event.seq]], JSON.stringify(body))
})

await checks.check('a ticket opens one event stream, without a token, and no second one', async () => {
  const once = await ticket()
  const stream = new Listening({ ticket: once, channels: 'contact:1' }, undefined, [])
  const welcome = await stream.welcome()
  assert.ok(welcome.channels.includes('user:tester') && welcome.channels.includes('contact:1'), JSON.stringify(welcome))
  const event = await publish({ type: 'note', channels: ['contact:1'] })
  await stream.frame('event', ({ seq }) => seq === event.seq)
  await stream.stop()
  const { status, body } = await ask('/v1/sse', { ticket: once }, [])
  assert.deepEqual([status, body.code], [401, 'ticket_invalid'])
})

await checks.check('who is here is told on an event stream, and answered to a command', async () => {
  await setRule('desk:{desk}', { subscribe: ['anyone'], publish: ['anyone'], signal: ['anyone'], presence: ['anyone'], presence_grace_ms: 1_000 })
  // Until every gateway that the balancer may choose has heard of the rule, some refuse; each answer is of one of them.
  let known = 0
  await until(10_000, 'the rule on each gateway', async () => {
    const { body } = await command({ type: 'presence', id: 'r', channel: 'desk:1' })
    known = body.type === 'ok' ? known + 1 : 0
    return known > 2 * stack.gateways.length
  })
  // A service watches, and is not seen.
  const key = ['--header', `Authorization: Bearer ${stack.apiKey}`]
  const watcher = new Listening({ tenant: stack.tenant, channels: 'desk:1', presence: '1' }, undefined, key)
  await watcher.welcome()
  const nobody = await watcher.frame('presence', ({ sync }) => sync)
  assert.deepEqual([nobody.channel, nobody.count, nobody.members], ['desk:1', 0, []])

  // At a gateway itself, which sees when curl ends; what balancers do then is asked in devstack/tests/balancers.
  const [node] = await alive()
  const gateway = new URL(stack.gateways[Number(node.split('-')[1]) - 1].replace('ws:', 'http:')).origin
  const person = new Listening({ ticket: await ticket(), channels: 'desk:1', presence: '1' }, undefined, [], gateway)
  await person.welcome()
  const own = await person.frame('presence', ({ sync }) => sync)
  assert.deepEqual(own.members.map(({ user }) => user), ['tester'])
  const joined = await watcher.frame('presence', (frame) => frame.joined?.length > 0)
  assert.deepEqual([joined.count, joined.joined.map(({ user }) => user)], [1, ['tester']])
  const asked = await command({ type: 'presence', id: 'w', channel: 'desk:1' })
  assert.deepEqual([asked.body.type, asked.body.presence['desk:1'].count], ['ok', 1])

  // What is said and typed by commands is heard on streams.
  const event = { type: 'moved', data: { x: 1 } }
  const said = await command({ type: 'publish', id: 'p', channel: 'desk:1', event })
  assert.deepEqual([said.status, said.body], [200, { type: 'ok', id: 'p' }])
  const heard = await watcher.frame('signal', (frame) => frame.event.type === 'moved')
  assert.deepEqual(heard, { type: 'signal', channel: 'desk:1', from: 'tester', event })
  await command({ type: 'typing', id: 't', channel: 'desk:1', state: 'start' })
  await watcher.frame('signal', (frame) => frame.event.type === 'typing' && frame.event.data.state === 'start')

  await person.stop()
  const left = await watcher.frame('presence', (frame) => frame.left?.length > 0)
  assert.deepEqual([left.count, left.left], [0, ['tester']])
  await watcher.stop()
})

await checks.check('commands: into the log, acknowledged by a device, what was done, and what is no command', async () => {
  await setRule('requests', { subscribe: ['anyone'], publish: ['anyone'], durable: true })
  const event = { type: 'approval.asked', id: 'trip-14', data: { trip: 'Museum' } }
  const store = () => command({ type: 'publish', id: 1, channel: 'requests', event })
  const stores = async () => {
    let answer
    // Some gateways may not have heard of the rule yet.
    await until(10_000, 'the rule', async () => (answer = (await store()).body).type === 'ok')
    return answer
  }
  const stored = await stores()
  assert.deepEqual([stored.event, (await stores()).seq], ['trip-14', stored.seq], 'a repeat is the same event')
  const device = { device: 'phone' }
  const ack = (seq) => command({ type: 'ack', id: 2, seq }, device)
  // A gateway that has not heard of the event yet says that it is ahead.
  await until(10_000, 'the ack', async () => (await ack(stored.seq)).body.type === 'ok')
  assert.equal((await ack(stored.seq + 1_000)).body.code, 'ack_ahead')
  assert.equal((await command({ type: 'activity', id: 3, name: 'page.opened', data: { path: '/' } })).body.type, 'ok')
  assert.equal((await command({ type: 'ping', id: 4 })).body.type, 'pong')
  const refused = await command({ type: 'subscribe', id: 5, channel: 'contact:1' })
  assert.deepEqual([refused.status, refused.body.code], [400, 'not_a_command'])
})

await checks.check('an event stream through the balancer, its node killed while events flow, resumed by Last-Event-ID: nothing missed, nothing twice', async () => {
  const first = new Listening({ channels: 'contact:1' })
  const { node } = await first.welcome()
  const flow = new Flow().start()
  await until(10_000, 'ten live events', () => first.seqs.length >= 10)
  await kill(node)
  await until(10_000, 'the end of the stream', () => first.ended)
  const missed = flow.ours.length + 10
  await until(10_000, 'events while away', () => flow.ours.length >= missed)
  const second = new Listening({ channels: 'contact:1' }, first.last)
  const welcome = await second.welcome()
  // A node that has not heard of what was missed yet says `live`, and tells it then.
  assert.ok(['replay', 'live'].includes(welcome.resumed), welcome.resumed)
  assert.notEqual(welcome.node, node)
  await until(10_000, 'ten events', () => second.seqs.length >= 10)
  const expected = await flow.stop()
  await until(10_000, 'the last event', () => second.seqs.at(-1) >= expected.at(-1))
  await second.stop()
  // The node of the first may have heard of what was published before only now.
  assert.deepEqual([...first.seqs, ...second.seqs].filter((seq) => seq >= expected[0]), expected)
})

await checks.check('poll by poll through the balancer, a node killed while events flow: nothing missed, nothing twice', async () => {
  let { seq, epoch } = (await poll({ channels: 'contact:1' })).body
  const flow = new Flow().start()
  const seen = []
  let last = Infinity
  let killed = false
  const deadline = Date.now() + 40_000
  while (seq < last) {
    assert.ok(Date.now() < deadline, `at ${seq} of ${last} in time`)
    const { status, body } = await poll({ channels: 'contact:1', since: seq, epoch, wait: 5 })
    // The balancer's word for a node that died with the question; the cursor asks again.
    if ([502, 503].includes(status)) continue
    assert.equal(status, 200, JSON.stringify(body))
    assert.equal(body.reset, undefined)
    seen.push(...body.events.map((frame) => frame.seq))
    ;({ seq, epoch } = body)
    if (!killed && seen.length >= 10) {
      await kill((await alive())[0])
      killed = true
    } else if (killed && last === Infinity && seen.length >= 40) {
      last = (await flow.stop()).at(-1)
    }
  }
  assert.deepEqual(seen.filter((seq) => seq >= flow.ours[0]), flow.ours)
})

process.exit(checks.summary())
