// What does each client of event streams do when a stream ends, is refused or nobody answers, and how does it say where it was?
//
// Each client is a pipe: it prints what it gets. Before the gateways stands a server of this file, which can be told to answer
// otherwise, and which sees each request: whether a client comes back, and with which position, is judged by that.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createServer, request } from 'node:http'
import { createInterface } from 'node:readline'

import { until } from '../interop/checks.mjs'
import { address, stack } from '../interop/stack.mjs'
import { EVENTS, PATIENCE, gateway as another, largest, publish } from './stack.mjs'

/** Longer than any client here waits before it asks again after one refusal. */
const AGAIN = 20_000
/** Longer than any client waits before it tries a port again: Firefox takes 5 s. */
const AWAY = 9000
const [usual] = stack.gateways.map((url) => url.replace('ws:', 'http:').replace('/v1/ws', '/v1/sse'))
const bearer = stack.token

const problem = (status, code, title) => (answer) => {
  answer.writeHead(status, { 'content-type': 'application/problem+json', 'retry-after': '1', 'access-control-allow-origin': '*' })
  answer.end(JSON.stringify({ type: 'about:blank', title, status, code }))
}

/** Stands before gateways: passes requests on to one, or answers them. */
class Front {
  /** What came, each with its URL and the header of a position. */
  requests = []
  /** Where requests go, or what answers them. */
  to = usual
  #streams = new Set()

  async listen(port = 0) {
    this.server = createServer((ask, answer) => {
      if (ask.method !== 'GET' || !ask.url.startsWith('/v1/sse')) return answer.writeHead(404).end()
      this.requests.push({ url: ask.url, id: ask.headers['last-event-id'] })
      if (typeof this.to === 'function') this.to(answer, ask)
      else this.pass(ask, answer)
    })
    await new Promise((done) => this.server.listen(port, '127.0.0.1', done))
    this.port = this.server.address().port
  }

  /** To a gateway. */
  pass(ask, answer) {
    const { hostname, port } = new URL(this.to)
    const far = request({ hostname, port, path: ask.url, headers: { ...ask.headers, host: `${hostname}:${port}` } }, (got) => {
      answer.writeHead(got.statusCode, got.headers)
      answer.flushHeaders()
      got.pipe(answer)
      got.on('error', () => answer.destroy())
      this.#streams.add(answer)
      answer.on('close', () => { far.destroy(); this.#streams.delete(answer) })
    })
    far.on('error', () => answer.destroy())
    far.end()
  }

  url(query) {
    return address(`http://127.0.0.1:${this.port}/v1/sse`, query)
  }

  /** Ends every stream as a server does that has said all. */
  end() {
    for (const stream of this.#streams) stream.end()
  }

  /** Nobody listens any more, and what is open is cut. */
  async close() {
    this.server.closeAllConnections()
    await new Promise((done) => this.server.close(done))
  }
}

/** A client at a front of its own. */
class Stream {
  events = []
  frames = []
  ended = ''
  front = new Front()

  static async open(client, { query = {}, token = bearer, setting = false } = {}) {
    const stream = new Stream()
    await stream.front.listen()
    const [program, ...rest] = client.command.map((part) => part.replace('@CLASSPATH', process.env.CARILLON_CLIENTS_CLASSPATH ?? ''))
    stream.child = spawn(program, rest, {
      stdio: ['pipe', 'pipe', process.env.CARILLON_CLIENTS_LOUD ? 'inherit' : 'ignore'],
      env: {
        ...process.env,
        ...client.env,
        SSE_URL: stream.front.url(client.header === false ? { token, ...query } : query),
        SSE_BEARER: client.header === false ? '' : token,
        SSE_SETTING: setting ? '1' : '0',
      },
    })
    stream.child.stdin.on('error', () => {})
    stream.child.on('error', (error) => { stream.ended ||= error.message })
    stream.child.on('close', () => { stream.gone = true; stream.ended ||= 'the program ended' })
    createInterface({ input: stream.child.stdout }).on('line', (line) => {
      const [, kind, rest] = /^(\w+) ?(.*)$/.exec(line) ?? []
      if (process.env.CARILLON_CLIENTS_LOUD) console.log(`    ${client.name}: ${line.slice(0, 200)}`)
      if (kind === 'end') stream.ended ||= rest || 'it ended'
      if (kind === 'error') stream.error = rest
      if (kind === 'event') {
        const [, id, data] = /^(\S*) (.*)$/.exec(rest)
        try {
          stream.frames.push({ id, ...JSON.parse(data) })
        } catch {
          stream.error = 'it gave a part of an event'
        }
      }
    })
    return stream
  }

  seqs() {
    return this.frames.filter(({ type }) => type === 'event').map(({ seq }) => seq)
  }

  welcomes() {
    return this.frames.filter(({ type }) => type === 'welcome').length
  }

  async welcome(count = 1) {
    await until(2 * PATIENCE, 'welcome', () => this.welcomes() >= count || this.ended)
    if (this.welcomes() < count) throw new Error(`no welcome: ${this.ended} ${this.error ?? ''}`)
  }

  /** Waits for one more request than there were; false if the client has ended or sends none. */
  async returns(count, patience = AGAIN) {
    await until(patience, 'a request', () => this.front.requests.length > count || this.ended).catch(() => {})
    // One that has told of its end may yet come back by itself.
    if (this.ended && !this.gone) await until(3000, 'a request', () => this.front.requests.length > count).catch(() => {})
    return this.front.requests.length > count
  }

  async leave() {
    this.child.stdin.end()
    await until(1500, 'the end', () => this.gone).catch(() => this.child.kill('SIGTERM'))
    await until(1500, 'the end', () => this.gone).catch(() => this.child.kill('SIGKILL'))
    await this.front.close().catch(() => {})
  }
}

async function using(client, options, body) {
  const stream = await Stream.open(client, options)
  try {
    return await body(stream)
  } finally {
    await stream.leave()
  }
}

/** Runs the body with the library's defaults, and with the setting that the manifest names if that does not hold. */
async function perhaps(client, name, body) {
  try {
    await body(false)
    return 'yes'
  } catch (error) {
    if (!client[name]) throw error
    await body(true)
    return `with ${client[name]}`
  }
}

/** Ends a stream, answers the next request with `then`, and tells whether the client comes back after that. */
async function afterwards(client, then) {
  return using(client, {}, async (stream) => {
    await stream.welcome()
    stream.front.to = then
    const before = stream.front.requests.length
    stream.front.end()
    if (!await stream.returns(before)) return 'first'
    const refused = stream.front.requests.length
    const back = await stream.returns(refused)
    if (!back) return 'no'
    stream.front.to = usual
    await stream.welcome(2)
    return 'back'
  })
}

const told = { back: 'back', no: 'ends for good', first: 'ends for good' }

/** One that does not come back after the end of a stream meets the refusal as its first answer. */
async function refusal(client, then) {
  const after = await afterwards(client, then)
  if (after !== 'first') return told[after]
  return using(client, {}, async (stream) => {
    stream.front.to = then
    const first = await stream.returns(0)
    if (!first) throw new Error('it never asked')
    return told[await stream.returns(1) ? 'back' : 'no']
  })
}

/** A gateway that has taken as many streams of this user as it takes: it refuses each further one, in the form that passes. */
let full
async function fullGateway() {
  full ??= (async () => {
    const node = await another({ CARILLON_MAX_CONNECTIONS_PER_USER: '1' })
    const url = node.url.replace('ws:', 'http:').replace('/v1/ws', '/v1/sse')
    const held = await fetch(url, { headers: { authorization: `Bearer ${bearer}` } })
    const reader = held.body.getReader()
    await reader.read()
    const refused = await (await fetch(url, { headers: { authorization: `Bearer ${bearer}` } })).text()
    assert.match(refused, /retry: \d+[\s\S]*"type":"error"/)
    return { url, stop: () => { reader.cancel(); node.child.kill('SIGKILL') } }
  })()
  return full
}

export async function stop() {
  (await full)?.stop()
}

/** Each gives the words of the table, or throws why not. */
export const checks = {
  async token(client) {
    return using(client, {}, async (stream) => { await stream.welcome(); return client.header === false ? 'query' : 'header' })
  },
  async order(client) {
    return using(client, { query: { channels: `contact:${client.key}` } }, async (stream) => {
      await stream.welcome()
      const wanted = []
      for (let begin = 0; begin < EVENTS; begin += 250) {
        wanted.push(...await publish(Array.from({ length: 250 }, (_, n) => ({ channels: [`contact:${client.key}`], data: { n: begin + n } }))))
      }
      await until(2 * PATIENCE, `${EVENTS} events`, () => stream.seqs().at(-1) === wanted.at(-1) || stream.ended)
      assert.deepEqual(stream.seqs(), wanted, stream.ended)
      return 'yes'
    })
  },
  async large(client) {
    return perhaps(client, 'large', (setting) => using(client, { query: { channels: `contact:${client.key}` }, setting }, async (stream) => {
      await stream.welcome()
      const event = largest(`contact:${client.key}`)
      const [seq] = await publish([event])
      await until(PATIENCE, 'the largest event', () => stream.seqs().includes(seq) || stream.ended || stream.error)
      const got = stream.frames.find(({ seq: its, type }) => type === 'event' && its === seq)
      assert.equal(got?.event.data.length, event.data.length, `not whole: ${stream.ended} ${stream.error ?? ''}`)
      assert.equal(stream.front.requests.length, 1, `it came ${stream.front.requests.length} times`)
    }))
  },
  async quiet(client) {
    return perhaps(client, 'quiet', (setting) => using(client, { setting }, async (stream) => {
      await stream.welcome()
      await until(12_000, 'silence', () => stream.ended || stream.front.requests.length > 1).then(
        () => { throw new Error(`ends: ${stream.ended || stream.error}`) },
        () => {},
      )
    }))
  },
  async position(client) {
    const channel = `contact:${client.key}`
    return using(client, { query: { channels: channel } }, async (stream) => {
      await stream.welcome()
      const first = await publish([{ channels: [channel], data: 1 }])
      await until(PATIENCE, 'an event', () => stream.seqs().includes(first[0]) || stream.ended)
      const { id } = stream.frames.find(({ seq, type }) => type === 'event' && seq === first[0])
      // What is published while it is away has to come with its return.
      const home = stream.front.to
      const held = []
      stream.front.to = (answer, ask) => held.push([ask, answer])
      stream.front.end()
      if (!await stream.returns(1)) return 'does not come back'
      const second = await publish([{ channels: [channel], data: 2 }])
      const { url, id: header } = stream.front.requests[1]
      const query = [...new URL(url, 'http://x').searchParams].filter(([, value]) => value === header || value === id).map(([name]) => `\`${name}\``)
      stream.front.to = home
      held.forEach(([ask, answer]) => stream.front.pass(ask, answer))
      await until(2 * PATIENCE, 'what it missed', () => stream.seqs().includes(second[0]) || stream.ended)
      assert.deepEqual(stream.seqs(), [...first, ...second], `it missed events, or saw one twice ${stream.ended}`)
      const places = [...(header === id ? ['`Last-Event-ID`'] : []), ...query]
      return places.join(' and ') || 'hands back none'
    })
  },
  async end(client) {
    return told[await afterwards(client, (await fullGateway()).url)]
  },
  async unavailable(client) {
    const one = await refusal(client, problem(503, 'unavailable', 'Service Unavailable'))
    const other = await refusal(client, problem(429, 'too_many_requests', 'Too Many Requests'))
    return one === other ? one : `503: ${one}; 429: ${other}`
  },
  async refused(client) {
    return using(client, {}, async (stream) => {
      await stream.welcome()
      const { port, requests } = stream.front
      const before = requests.length
      await stream.front.close()
      await new Promise((done) => setTimeout(done, AWAY))
      await stream.front.listen(port)
      if (!await stream.returns(before, 2 * AGAIN)) return told.no
      await stream.welcome(2)
      return told.back
    })
  },
  async unauthorized(client) {
    return using(client, { token: 'not-a-token' }, async (stream) => {
      await until(PATIENCE, 'a request', () => stream.front.requests.length)
      return await stream.returns(1) ? 'asks again' : told.no
    })
  },
}
