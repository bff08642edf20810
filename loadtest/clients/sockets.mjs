// Can each of these WebSocket clients use Carillon, and what does each need for it?
//
// Each client is a pipe: it connects, prints what it gets and sends what it is told. All that is judged is judged here.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

import { until } from '../interop/checks.mjs'
import { address, stack } from '../interop/stack.mjs'
import { EVENTS, PATIENCE, gateway as another, largest, publish } from './stack.mjs'

const [gateway] = stack.gateways
const classpath = process.env.CARILLON_CLIENTS_CLASSPATH ?? ''

/** Stands before a gateway and hears what the handshake agrees on. */
class Relay {
  offered = ''
  agreed = ''
  status = 0

  async open(to) {
    const { hostname, port } = new URL(to)
    this.server = createServer((near) => {
      const far = connect(Number(port), hostname)
      let asked = ''
      let answered = ''
      const extension = (head) => /^sec-websocket-extensions:\s*(.*)$/im.exec(head)?.[1].trim() ?? ''
      near.on('data', (data) => {
        if (!asked.includes('\r\n\r\n')) this.offered = extension((asked += data.toString('latin1')))
        far.write(data)
      })
      far.on('data', (data) => {
        if (!answered.includes('\r\n\r\n')) {
          answered += data.toString('latin1')
          this.agreed = extension(answered.split('\r\n\r\n')[0])
          this.status = Number(/^HTTP\/1.1 (\d+)/.exec(answered)?.[1] ?? 0)
        }
        near.write(data)
      })
      for (const [one, other] of [[near, far], [far, near]]) {
        one.on('end', () => other.end())
        one.on('error', () => other.destroy())
        one.on('close', () => other.destroy())
      }
    })
    await new Promise((done) => this.server.listen(0, '127.0.0.1', done))
    const url = new URL(to)
    url.port = this.server.address().port
    return url.href
  }

  close() {
    this.server.close()
  }
}

/** One connection of a client. */
class Connection {
  frames = []
  closed = null
  error = ''
  opened = false
  relay = new Relay()

  static async open(client, to, { bearer = '', protocols = [], compress = false, large = false } = {}) {
    const connection = new Connection()
    const [program, ...rest] = client.command.map((part) => part.replace('@CLASSPATH', classpath))
    connection.child = spawn(program, rest, {
      stdio: ['pipe', 'pipe', process.env.CARILLON_CLIENTS_LOUD ? 'inherit' : 'ignore'],
      env: {
        ...process.env,
        WS_URL: await connection.relay.open(to),
        WS_BEARER: bearer,
        WS_PROTOCOLS: protocols.join(','),
        WS_COMPRESS: compress ? '1' : '0',
        WS_LARGE: large ? '1' : '0',
      },
    })
    connection.child.stdin.on('error', () => {})
    connection.child.on('error', (error) => { connection.error = error.message })
    connection.child.on('close', () => { connection.gone = true })
    createInterface({ input: connection.child.stdout }).on('line', (line) => connection.#heard(line))
    return connection
  }

  #heard(line) {
    const [, kind, rest] = /^(\w+) ?(.*)$/.exec(line) ?? []
    if (kind === 'open') this.opened = true
    if (kind === 'error') this.error ||= rest
    if (kind === 'text') this.frames.push(JSON.parse(rest))
    if (kind === 'close') {
      const [, code, reason] = /^(\d+) ?(.*)$/.exec(rest) ?? [0, 0, rest]
      this.closed = { code: Number(code), reason }
    }
  }

  get over() {
    return this.closed || this.gone
  }

  async frame(what, wanted) {
    let found
    await until(PATIENCE, what, () => (found = this.frames.find(wanted)) || this.over)
    if (!found) throw new Error(`${what}: ${this.end()}`)
    return found
  }

  welcome() {
    return this.frame('welcome', ({ type }) => type === 'welcome')
  }

  end() {
    return this.closed ? `closed with ${this.closed.code} ${this.closed.reason} ${this.error}`.trim() : this.error || 'it ended'
  }

  send(frame) {
    this.child.stdin.write(`${JSON.stringify(frame)}\n`)
  }

  async leave() {
    this.child.stdin.end()
    await until(1500, 'the end', () => this.gone).catch(() => {})
    if (!this.gone) {
      this.child.kill('SIGTERM')
      await until(1000, 'the end', () => this.gone).catch(() => this.child.kill('SIGKILL'))
    }
    this.relay.close()
  }
}

const bearer = stack.token
const within = (client, query = {}) => address(gateway, client.header === false ? { token: bearer, ...query } : query)
const usual = (client) => (client.header === false ? {} : { bearer })

/** Opens a connection, lets `body` use it, and leaves. */
async function using(client, to, options, body) {
  const connection = await Connection.open(client, to, options)
  try {
    return await body(connection)
  } finally {
    await connection.leave()
  }
}

/** Each gives the words of the table, or throws why not. */
export const checks = {
  async header(client) {
    if (client.header === false) return '–'
    return using(client, gateway, { bearer }, async (connection) => { await connection.welcome(); return 'yes' })
  },
  async protocol(client) {
    return using(client, gateway, { protocols: ['carillon.v1', `bearer.${bearer}`] }, async (connection) => { await connection.welcome(); return 'yes' })
  },
  async query(client) {
    return using(client, address(gateway, { token: bearer }), {}, async (connection) => { await connection.welcome(); return 'yes' })
  },
  async first(client) {
    return using(client, gateway, {}, async (connection) => {
      await until(PATIENCE, 'the upgrade', () => connection.opened || connection.over)
      connection.send({ type: 'auth', token: bearer })
      await connection.welcome()
      return 'yes'
    })
  },
  async compression(client) {
    return using(client, within(client, { channels: 'contact:deflate' }), { ...usual(client), compress: true }, async (connection) => {
      await until(PATIENCE, 'the upgrade', () => connection.opened || connection.over)
      if (connection.opened && !connection.relay.offered.includes('permessage-deflate')) return 'not offered'
      await connection.welcome()
      const data = 'The quick brown fox. '.repeat(1000)
      await publish([{ channels: ['contact:deflate'], data }, { channels: ['contact:deflate'], data: 'short' }, { channels: ['contact:deflate'], data }])
      await until(PATIENCE, 'three events', () => connection.frames.filter(({ type }) => type === 'event').length === 3 || connection.over)
      const got = connection.frames.filter(({ type }) => type === 'event').map(({ event }) => event.data)
      if (connection.over) throw new Error(connection.end())
      assert.deepEqual(got.map((text) => text.length), [data.length, 5, data.length])
      return connection.relay.agreed.includes('permessage-deflate') ? 'yes' : 'declined'
    })
  },
  async order(client) {
    return using(client, within(client, { channels: 'contact:order' }), usual(client), async (connection) => {
      await connection.welcome()
      const wanted = []
      for (let begin = 0; begin < EVENTS; begin += 250) {
        wanted.push(...await publish(Array.from({ length: 250 }, (_, n) => ({ channels: ['contact:order'], data: { n: begin + n } }))))
      }
      const seqs = () => connection.frames.filter(({ type }) => type === 'event').map(({ seq }) => seq)
      await until(2 * PATIENCE, `${EVENTS} events`, () => seqs().at(-1) === wanted.at(-1) || connection.over)
      if (connection.over) throw new Error(`${connection.end()} after ${seqs().length} events`)
      assert.deepEqual(seqs(), wanted)
      return 'yes'
    })
  },
  async large(client) {
    const receive = (large) => using(client, within(client, { channels: 'contact:large' }), { ...usual(client), large }, async (connection) => {
      await connection.welcome()
      const event = largest('contact:large')
      const [seq] = await publish([event])
      const frame = await connection.frame('the largest event', ({ type, seq: its }) => type === 'event' && its === seq)
      assert.equal(frame.event.data.length, event.data.length)
    })
    try {
      await receive(false)
      return 'yes'
    } catch (error) {
      if (!client.large) throw error
      await receive(true)
      return `with ${client.large}`
    }
  },
  async close(client) {
    return using(client, gateway, {}, async (connection) => {
      await until(PATIENCE, 'the upgrade', () => connection.opened || connection.over)
      connection.send({ type: 'auth', token: 'not-a-token' })
      await until(PATIENCE, 'a close', () => connection.over)
      if (!connection.closed) throw new Error(`no code: ${connection.error}`)
      const { code, reason } = connection.closed
      if (code !== 4401) throw new Error(`${code}`)
      return reason ? 'yes' : 'code only'
    })
  },
  async drain(client) {
    const node = await another()
    try {
      return await using(client, client.header === false ? address(node.url, { token: bearer }) : node.url, usual(client), async (connection) => {
        await connection.welcome()
        node.child.kill('SIGTERM')
        await connection.frame('goaway', ({ type }) => type === 'goaway')
        await until(PATIENCE, 'a close', () => connection.over)
        if (!connection.closed) throw new Error(`goaway, then no code: ${connection.error}`)
        if (connection.closed.code !== 1012) throw new Error(`goaway, then ${connection.closed.code}`)
        return 'yes'
      })
    } finally {
      node.child.kill('SIGKILL')
    }
  },
}
