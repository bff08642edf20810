// Can each of these clients use Carillon, and what does each need for it?
//
// Each client is a pipe: it connects, prints what it gets and sends what it is told. All that is judged is judged here.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { createInterface } from 'node:readline'

import { until } from '../interop/checks.mjs'
import { address, need, stack } from '../interop/stack.mjs'
import { clients } from './manifest.mjs'
import { versions } from './versions.mjs'
import { table } from './table.mjs'

const PATIENCE = 20_000
const EVENTS = 1000
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

async function publish(events) {
  const answer = await fetch(`${stack.publisher}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(events.map((event) => ({ tenant: stack.tenant, type: 'client', ...event }))),
  })
  if (answer.status !== 201) throw new Error(`publish: HTTP ${answer.status} ${await answer.text()}`)
  return (await answer.json()).map(({ seq }) => seq)
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
const checks = {
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
      const event = largest()
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
    const node = await draining()
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

/** An event as large as one may be, to a hundred channels of the longest names. */
function largest() {
  const channels = Array.from({ length: 100 }, (_, n) => (n ? `contact:${n}`.padEnd(128, 'x') : 'contact:large'))
  return { channels, id: randomUUID(), time: '2026-03-01T09:30:00Z', data: 'x'.repeat(65_536 - overhead) }
}

/** What stands around the data of such an event. */
const overhead = await (async () => {
  const event = { specversion: '1.0', id: 'x'.repeat(36), source: 'api', type: 'client', time: '2026-03-01T09:30:00Z', datacontenttype: 'application/json', data: '' }
  // The stored form may leave some of these out: the publisher says how large it may be.
  for (let room = JSON.stringify(event).length; room > 0; room -= 1) {
    const answer = await fetch(`${stack.publisher}/v1/events`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ tenant: stack.tenant, type: 'client', channels: ['contact:size'], id: `size-${room}`.padEnd(36, 'x'), time: event.time, data: 'x'.repeat(65_536 - room) }),
    })
    if (answer.status !== 201) return room + 1
  }
  throw new Error('the limit of an event was not found')
})()

/** A gateway of its own, to be drained. */
async function draining() {
  const free = () => new Promise((done) => { const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)) }) })
  const [port, ops] = [await free(), await free()]
  const child = spawn(need('CARILLON_GATEWAY_PROGRAM'), ['serve'], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      ...JSON.parse(need('CARILLON_GATEWAY_ENVIRONMENT')),
      CARILLON_NODE: `clients-${port}`,
      CARILLON_LISTEN: `127.0.0.1:${port}`,
      CARILLON_OPS_LISTEN: `127.0.0.1:${ops}`,
    },
  })
  await until(PATIENCE, 'a gateway', async () => (await fetch(`http://127.0.0.1:${ops}/readyz`).catch(() => ({}))).ok)
  return { child, url: `ws://127.0.0.1:${port}/v1/ws` }
}

const wanted = process.argv.slice(2)
const chosen = clients.filter(({ name, language }) => !wanted.length || wanted.includes(name) || wanted.includes(language))
const found = await versions(chosen)
/** What was seen last of each client: whoever runs some of them gets a table of all. */
const seen = `${need('CARILLON_CLIENTS_BUILD')}/seen.json`
const rows = existsSync(seen) ? JSON.parse(readFileSync(seen)) : {}
let passed = 0
let failed = 0
for (const client of chosen) {
  const row = { version: found.get(client), results: {} }
  for (const [name, check] of Object.entries(checks)) {
    const known = client.known?.[name]
    try {
      row.results[name] = await check(client)
      if (known) throw new Error(`holds (${row.results[name]}), though it is known not to: ${known}`)
      passed += 1
    } catch (error) {
      const why = String(error.message).split('\n')[0]
      row.results[name] = known ?? `no: ${why}`
      if (known && !why.startsWith('holds (')) passed += 1
      else {
        failed += 1
        console.log(`  FAIL  ${client.language} ${client.name}: ${name}: ${why}`)
      }
    }
  }
  console.log(`  ${client.language} ${client.name} ${row.version}: ${Object.entries(row.results).map(([name, result]) => `${name} ${result}`).join(', ')}`)
  rows[`${client.language} ${client.name}`] = row
  writeFileSync(seen, JSON.stringify(rows))
}
if (clients.every(({ name, language }) => rows[`${language} ${name}`])) {
  writeFileSync(need('CARILLON_CLIENTS_TABLE'), table(clients.map(({ name, language }) => ({ name, language, ...rows[`${language} ${name}`] }))))
}
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
