// Does the client keep its promises in other browsers than Chromium, at real gateways, alone and between tabs?
//
// `CARILLON_BROWSER` names one of engines.ts. Started by run.sh.

import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Installation } from '../client/test/installation.js'
import { type Stack, startStack, until } from '../testing/stack.js'
import { type Engine, engines, type Tab } from './engines.js'

let stack: Stack
let engine: Engine
let pages: Server
let at: Installation
const tabs: Tab[] = []
let tests = 0

beforeAll(async () => {
  stack = await startStack('--gateways', '3')
  const dist = fileURLToPath(new URL('../client/dist', import.meta.url))
  const page = readFileSync(new URL('../client/test/page.html', import.meta.url))
  pages = createServer((request, answer) => {
    const [path = '/'] = request.url!.split('?')
    if (path.startsWith('/client/'))
      return answer.writeHead(200, { 'content-type': 'text/javascript' }).end(readFileSync(dist + path.slice(7)))
    answer.writeHead(200, { 'content-type': 'text/html' }).end(path === '/tab' ? page : '<title>elsewhere</title>')
  })
  await new Promise<void>((resolve) => pages.listen(0, '127.0.0.1', resolve))
  engine = await engines[process.env.CARILLON_BROWSER ?? 'chromium']!()
  console.log(`browser: ${engine.name}`)
})
afterAll(async () => {
  await engine?.end()
  pages?.close()
  await stack?.down()
})
beforeEach(() => {
  at = new Installation(stack, `browser-${++tests}`)
})
afterEach(async () => {
  at.close()
  for (const one of tabs.splice(0)) await one.close().catch(() => {})
})

const origin = () => `http://127.0.0.1:${(pages.address() as AddressInfo).port}`
async function tab(more: object = {}): Promise<Tab> {
  const one = await engine.open()
  tabs.push(one)
  await one.goto(`${origin()}/tab?${new URLSearchParams({ url: stack.lb, token: at.token(), name: at.tenant, ...more })}`)
  await until('the page is there', () => one.evaluate('typeof ready === "object"'))
  await one.evaluate('ready')
  return one
}
const state = (one: Tab) => one.evaluate('client.state')
const numbers = (one: Tab): Promise<number[]> => one.evaluate('got.map(({ n }) => n)')
const sockets = async () =>
  ((await (await at.rest('GET', `/v1/connections?tenant=${at.tenant}`)).json()) as { connections: unknown[] }).connections.length

/** Every event once and in order, in every one of these tabs. */
async function whole(all: Tab[], to: number) {
  const expected = Array.from({ length: to }, (_, i) => i + 1)
  for (const one of all) {
    await until(`event ${to}`, async () => (await numbers(one)).includes(to), 30_000)
    expect(await numbers(one)).toEqual(expected)
    expect(await one.evaluate('resyncs')).toEqual([])
  }
}
async function leader(all: Tab[]): Promise<Tab> {
  let found: Tab | undefined
  await until(
    'one tab leads',
    async () => {
      const states = await Promise.all(all.map(state))
      const leaders = all.filter((_, i) => states[i].status === 'open' && states[i].leader)
      found = leaders[0]
      return leaders.length === 1 && states.every((one) => one.status === 'open')
    },
    20_000,
  )
  return found!
}
async function survives(what: (led: Tab) => Promise<unknown>): Promise<{ rest: Tab[]; led: Tab }> {
  const all = [await tab(), await tab(), await tab()]
  const led = await leader(all)
  const rest = all.filter((one) => one !== led)
  await at.publish(20)
  await whole(all, 20)
  const stop = at.publishing()
  await until('events are coming', async () => (await numbers(rest[0]!)).length > 100)
  await what(led)
  await leader(rest)
  await whole(rest, (await stop()) as number)
  return { rest, led }
}
function end(connection: string, signal: 'SIGKILL' | 'SIGTERM') {
  const name = Object.keys(stack.pids).find((one) => connection.startsWith(`${one}-`))!
  process.kill(stack.pids[name]!, signal)
  delete stack.pids[name]
}

for (const [signal, what] of [
  ['SIGKILL', 'killed'],
  ['SIGTERM', 'drained'],
] as const)
  test(`a gateway is ${what}: none is lost, none comes twice`, async () => {
    const one = await tab()
    const stop = at.publishing()
    await until('events are coming', async () => (await numbers(one)).length > 100)
    const { connection } = await state(one)
    end(connection, signal)
    await until('another connection', async () => {
      const now = await state(one)
      return now.status === 'open' && now.connection !== connection
    })
    await whole([one], (await stop()) as number)
    await stack.revive()
  })

test('Redis is killed and comes back: none is lost, none comes twice', async () => {
  const one = await tab()
  const stop = at.publishing()
  await until('events are coming', async () => (await numbers(one)).length > 100)
  const start = stack.killRedis()
  const before = at.sent
  await until('events are published without it', () => at.sent > before + 200)
  start()
  const back = at.sent
  await until('events are published with it', () => at.sent > back + 200)
  await whole([one], (await stop()) as number)
})

test('no WebSocket passes: events come over an event stream', async () => {
  const one = await tab({ without: 'websocket' })
  expect(await state(one)).toMatchObject({ status: 'open', transport: 'sse' })
  await at.publish(300)
  await whole([one], 300)
})

test('no WebSocket passes and a URL has no room for all the channels: they go as a form, which the page of another origin may send', async () => {
  const one = await tab({ without: 'websocket' })
  const last = 'order:more-997'
  await one.evaluate(`(async () => {
    window.last = []
    for (let n = 0; n < 997; n++) client.channel('order:more-' + (n + 1)).on('*', ({ data }) => last.push(data.n))
    await client.channel('${last}').ready()
  })()`)
  expect(await state(one)).toMatchObject({ status: 'open', transport: 'sse' })
  await at.publish(3, last)
  await until('three events', async () => ((await one.evaluate('last.length')) as number) >= 3)
  expect(await one.evaluate('last')).toEqual([1, 2, 3])
  const asked = "performance.getEntriesByType('resource').map(({ name }) => name).filter((name) => name.includes('/v1/sse'))"
  const urls = (await one.evaluate(asked)) as string[]
  expect(Math.max(...urls.map((url) => url.length))).toBeLessThan(5000)
})

test('ten thousand events at once', async () => {
  const one = await tab()
  await at.publish(10_000)
  await whole([one], 10_000)
})

test('tabs share one socket, and every event is once in each', async () => {
  const all = [await tab(), await tab(), await tab(), await tab()]
  await leader(all)
  await at.publish(300)
  await whole(all, 300)
  await until('one connection', async () => (await sockets()) === 1)
})

test('the leading tab is closed: another is live, nothing is lost or doubled', async () => {
  await survives((led) => led.close())
})

test('the leading tab goes to another page and comes back', async () => {
  const { rest, led } = await survives((led) => led.goto(`${origin()}/elsewhere`))
  await led.back()
  await until('it is back', async () => (await led.evaluate('typeof ready')) === 'object')
  const isKept = (await led.evaluate('lives')).includes('pageshow persisted')
  console.log(`${engine.name}: the page was ${isKept ? 'kept in the back-forward cache' : 'loaded anew'}`)
  await leader([...rest, led])
  const before = at.sent
  await led.evaluate('ready')
  await at.publish(10)
  await whole(rest, at.sent)
  await until('the last event', async () => (await numbers(led)).includes(at.sent))
  const got = await numbers(led)
  // One that was loaded anew has the present only.
  const from = isKept ? 1 : (got[0] ?? before)
  expect(got).toEqual(Array.from({ length: at.sent - from + 1 }, (_, i) => from + i))
})

test('the leading tab is put to sleep, and wakes again', async () => {
  const { rest, led } = await survives((led) => led.evaluate('document.dispatchEvent(new Event("freeze"))'))
  await led.evaluate('document.dispatchEvent(new Event("resume"))')
  await at.publish(10)
  await whole([...rest, led], at.sent)
})

test('one tab signs out: the others end, too', async () => {
  const all = [await tab(), await tab()]
  await leader(all)
  await all[1]!.evaluate('client.identify(null)')
  for (const one of all) await until('nobody is signed in', async () => (await state(one)).status === 'idle')
  await until('no connection', async () => (await sockets()) === 0)
})
