// Can the WebSocket and the EventSource of a real browser use Carillon?

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'

import { chromium } from 'playwright-core'

import { Checks, until } from './checks.mjs'
import { Flow, address, kill, need, publish, stack } from './stack.mjs'

const [first] = stack.gateways
const port = Number(need('CARILLON_PAGE_PORT'))
/** A gateway that lets in pages of `http://localhost:<port>` and no others. */
const strict = need('CARILLON_STRICT_GATEWAY')
/** The address of an event stream or poll at a gateway, of which the WebSocket's is known. */
const beside = (gateway, path, query) => address(gateway.replace('ws:', 'http:').replace('/v1/ws', path), query)

const html = readFileSync(new URL('page.html', import.meta.url))
const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'text/html' }).end(html))
await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve))

const browser = await chromium.launch({
  executablePath: need('CARILLON_CHROMIUM'),
  // Root has no sandbox; the only pages are ours.
  args: ['--no-sandbox', '--host-resolver-rules=MAP localhost 127.0.0.1'],
})
const checks = new Checks(`Chromium ${browser.version()}`)
const withBearer = ['carillon.v1', `bearer.${stack.token}`]

/** A tab with one WebSocket, and everything it told. */
class Tab {
  told = []

  static async open(host = 'localhost') {
    const tab = new Tab()
    tab.page = await browser.newPage()
    await tab.page.exposeFunction('tell', (what) => { tab.told.push(what) })
    await tab.page.goto(`http://${host}:${port}/`)
    return tab
  }

  async connect(url, protocols = [], firstFrame = null) {
    await this.page.evaluate(([url, protocols, firstFrame]) => open(url, protocols, firstFrame), [url, protocols, firstFrame])
  }

  async listen(url) {
    await this.page.evaluate((url) => listen(url), url)
  }

  async poll(url, token = stack.token) {
    return this.page.evaluate(([url, token]) => poll(url, token), [url, token])
  }

  get seqs() {
    return this.frames.filter((frame) => frame.type === 'event').map((frame) => frame.seq)
  }

  get frames() {
    return this.told.flatMap(({ frame }) => frame ?? [])
  }

  async frame(wanted) {
    let found
    await until(5000, `a frame that ${wanted}`, () => {
      found = this.frames.find(wanted)
      return found || this.told.some(({ closed }) => closed)
    })
    if (!found) throw new Error(`closed instead of a frame that ${wanted}: ${JSON.stringify(this.told.at(-1))}`)
    return found
  }

  welcome() {
    return this.frame((frame) => frame.type === 'welcome')
  }

  async say(text) {
    await this.page.evaluate((text) => say(text), text)
  }

  async ask(request) {
    await this.say(JSON.stringify(request))
    return this.frame((frame) => frame.id === request.id && ['ok', 'error', 'pong'].includes(frame.type))
  }

  async ended() {
    await until(5000, 'a close', () => this.told.some(({ closed }) => closed))
    return this.told.find(({ closed }) => closed).closed
  }

  /** Says goodbye and closes the tab. */
  async bye() {
    await this.page.evaluate(() => bye())
    assert.equal(await this.ended(), 1000)
    await this.page.close()
  }
}

/** A check with a tab that is closed even if the check fails. */
async function check(name, body, host) {
  await checks.check(name, async () => {
    const tab = await Tab.open(host)
    try {
      await body(tab)
    } finally {
      await tab.page.close()
    }
  })
}

await check('token in the subprotocol', async (tab) => {
  await tab.connect(first, withBearer)
  const welcome = await tab.welcome()
  assert.equal(welcome.tenant, stack.tenant)
  assert.equal(tab.told[0].protocol, 'carillon.v1')
  assert.equal((await tab.ask({ type: 'ping', id: 1, data: 'ä' })).data, 'ä')
  await tab.bye()
})

await check('token in the query', async (tab) => {
  await tab.connect(address(first, { token: stack.token }))
  await tab.welcome()
  await tab.bye()
})

await check('token in the first frame', async (tab) => {
  await tab.connect(first, [], JSON.stringify({ type: 'auth', token: stack.token }))
  await tab.welcome()
  await tab.bye()
})

await check('another first frame than auth is closed with 4401', async (tab) => {
  await tab.connect(first, [], JSON.stringify({ type: 'subscribe', channel: 'contact:1' }))
  assert.equal(await tab.ended(), 4401)
})

await check('a bad token never opens', async (tab) => {
  await tab.connect(first, ['carillon.v1', 'bearer.bad'])
  assert.equal(await tab.ended(), 1006)
})

await check('subscribe, and a forbidden channel by name', async (tab) => {
  await tab.connect(first, withBearer)
  await tab.welcome()
  assert.equal((await tab.ask({ type: 'subscribe', id: 's', channels: ['contact:1'] })).type, 'ok')
  const refused = await tab.ask({ type: 'subscribe', id: 'f', channels: ['contact:2', 'secret:1'] })
  assert.deepEqual([refused.type, refused.code, refused.channels], ['error', 'forbidden', ['secret:1']])
  await tab.bye()
})

await check('an unknown type and bad JSON are answered, the connection stays', async (tab) => {
  await tab.connect(first, withBearer)
  await tab.welcome()
  assert.equal((await tab.ask({ type: 'dance', id: 7 })).code, 'unknown_type')
  await tab.say('{"type":')
  await tab.frame((frame) => frame.type === 'error' && frame.code === 'invalid_json')
  assert.equal((await tab.ask({ type: 'ping', id: 9 })).type, 'pong')
  await tab.bye()
})

await check('a message above the limit is closed with 1009', async (tab) => {
  await tab.connect(first, withBearer)
  const { limits } = await tab.welcome()
  await tab.say('x'.repeat(limits.message_bytes + 1))
  assert.equal(await tab.ended(), 1009)
})

await check('a page of an allowed origin is let in', async (tab) => {
  await tab.connect(strict, withBearer)
  await tab.welcome()
  await tab.bye()
}, 'localhost')

await check('a page of another origin is not', async (tab) => {
  await tab.connect(strict, withBearer)
  assert.equal(await tab.ended(), 1006)
}, '127.0.0.1')

await checks.check('tabs closed while events go on, on changing gateways: nothing missed, nothing twice', async () => {
  let tab = await Tab.open()
  await tab.connect(first, withBearer)
  await tab.welcome()
  const { epoch } = await tab.ask({ type: 'subscribe', id: 's', channel: 'contact:1' })
  const seen = []
  const flow = new Flow().start()
  const collect = () => tab.frames.filter((frame) => frame.type === 'event').map((frame) => frame.seq)
  const nodes = new Set()
  // A node that has not heard of what was missed yet says `live`, and tells it then.
  let behind = false
  for (let round = 1; round <= 6; round += 1) {
    await until(10_000, 'ten live events', () => collect().length >= 10)
    await tab.page.close({ runBeforeUnload: false })
    seen.push(...collect())
    const missed = flow.ours.length + 10
    await until(10_000, 'events while away', () => flow.ours.length >= missed)
    tab = await Tab.open()
    const query = { since: seen.at(-1), epoch, channels: 'contact:1' }
    await tab.connect(address(stack.gateways[round % stack.gateways.length], query), withBearer)
    const welcome = await tab.welcome()
    assert.ok(['replay', 'live'].includes(welcome.resumed), welcome.resumed)
    assert.equal(welcome.epoch, epoch)
    behind ||= welcome.resumed === 'replay'
    nodes.add(welcome.node)
  }
  const expected = await flow.stop()
  await until(10_000, 'the last event', () => collect().at(-1) >= expected.at(-1))
  seen.push(...collect())
  assert.deepEqual(seen.filter((seq) => seq >= expected[0]), expected)
  assert.ok(behind, 'one of six at least was behind')
  assert.ok(nodes.size >= 2, 'at least two gateways took part')
  await tab.bye()
})

await check('EventSource: a page of an allowed origin listens', async (tab) => {
  await tab.listen(beside(strict, '/v1/sse', { token: stack.token, channels: 'contact:1' }))
  const { tenant, seq, epoch } = await tab.welcome()
  assert.equal(tenant, stack.tenant)
  const told = tab.told.find(({ frame }) => frame?.type === 'welcome')
  assert.equal(told.lastEventId, `${epoch}:${seq}`)
  await tab.page.evaluate(() => hush())
}, 'localhost')

for (const [what, host, token] of [['a page of another origin', '127.0.0.1', stack.token], ['a bad token', 'localhost', 'bad']]) {
  await check(`EventSource: ${what} never opens, and does not try again`, async (tab) => {
    await tab.listen(beside(strict, '/v1/sse', { token }))
    await until(5000, 'a refusal', () => tab.told.length > 0)
    assert.deepEqual(tab.told, [{ lost: true, forGood: true }])
  }, host)
}

await check('fetch: a page of an allowed origin polls with its token in a header, and may read a refusal', async (tab) => {
  const { status, body } = await tab.poll(beside(strict, '/v1/poll'))
  assert.deepEqual([status, body.events], [200, []])
  const next = tab.poll(beside(strict, '/v1/poll', { since: body.seq, epoch: body.epoch }))
  const { seq } = await publish({ type: 'note', tenant_wide: true })
  assert.deepEqual((await next).body.events.map((frame) => frame.seq), [seq])
  const refused = await tab.poll(beside(strict, '/v1/poll'), 'bad')
  assert.deepEqual([refused.status, refused.body.code], [401, 'token_malformed'])
}, 'localhost')

await check('fetch: a page of another origin reads nothing', async (tab) => {
  await assert.rejects(tab.poll(beside(strict, '/v1/poll')), /Failed to fetch/)
}, '127.0.0.1')

await check('EventSource: through the balancer, its node killed while events flow: nothing missed, nothing twice', async (tab) => {
  await tab.listen(address(`${stack.balancer}/v1/sse`, { channels: 'contact:1', token: stack.token }))
  const { node } = await tab.welcome()
  const flow = new Flow().start()
  await until(10_000, 'ten live events', () => tab.seqs.length >= 10)
  await kill(node)
  const missed = flow.ours.length + 10
  await until(10_000, 'events while away', () => flow.ours.length >= missed)
  const welcomes = () => tab.frames.filter((frame) => frame.type === 'welcome')
  await until(30_000, 'another node', () => welcomes().length === 2)
  assert.equal(welcomes()[1].resumed, 'replay')
  assert.notEqual(welcomes()[1].node, node)
  const live = tab.seqs.length + 10
  await until(10_000, 'ten more events', () => tab.seqs.length >= live)
  const expected = await flow.stop()
  await until(10_000, 'the last event', () => tab.seqs.at(-1) >= expected.at(-1))
  assert.deepEqual(tab.seqs.filter((seq) => seq >= expected[0]), expected)
  assert.deepEqual(tab.told.filter(({ lost }) => lost), [{ lost: true, forGood: false }])
  await tab.page.evaluate(() => hush())
})

await browser.close()
server.close()
process.exit(checks.summary())
