// How long is a page's main thread busy with 10,000 events in a list, and how many frames does it show meanwhile?
//
// `node bench/main-thread.mjs` prints the table, `--page` writes it into docs/PEERS.md. @carillon/client and centrifuge-js get the same events
// at the same times from a server in this process, each with its own protocol, one message for each event; `none` is a WebSocket with
// JSON.parse and no library. The page does the same with all: it keeps the rows, and shows the newest 100 once a frame. Chromium, six rounds
// in turn, of each the one with the least counts: what else a machine does makes it only more. Build first (`make web`).

import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'
import { build } from 'vite'
import { WebSocketServer } from 'ws'

const EVENTS = 10_000
/** Over so long: 5,000 a second. */
const MILLISECONDS = 2_000
const ROUNDS = 6
const versions = { centrifuge: '5.8.0' }

const page = `
  const rows = []
  let [frames, isDirty] = [0, false]
  const list = document.body.appendChild(document.createElement('ul'))
  const items = Array.from({ length: 100 }, () => list.appendChild(document.createElement('li')))
  function frame() {
    frames++
    if (isDirty) {
      const shown = rows.slice(-100)
      for (const [n, row] of shown.entries()) items[n].textContent = row.seq + ' ' + row.type + ' ' + row.data.customer + ' ' + row.data.total
      isDirty = false
    }
    requestAnimationFrame(frame)
  }
  requestAnimationFrame(frame)
  window.count = () => rows.length
  window.seen = () => ({ frames, count: rows.length, inOrder: rows.every((row, n) => row.data.n === n + 1) })
  const add = (row) => { rows.push(row); isDirty = true }
  const address = location.host
`
const programs = {
  '@carillon/client': `
    import { createClient } from '@carillon/client'
    ${page}
    const client = createClient({ url: 'http://' + address, getToken: () => 'h.e30.s' })
    client.channel('order:7').on('order.*', add)
    client.channel('order:7').ready().then(() => { window.isReady = true })`,
  centrifuge: `
    import { Centrifuge } from 'centrifuge'
    ${page}
    const client = new Centrifuge('ws://' + address + '/centrifuge')
    const orders = client.newSubscription('order:7')
    orders.on('publication', ({ data, offset }) => add({ seq: offset, type: data.type, data: data.data }))
    orders.on('subscribed', () => { window.isReady = true })
    orders.subscribe()
    client.connect()`,
  none: `
    ${page}
    const socket = new WebSocket('ws://' + address + '/none')
    socket.onopen = () => { window.isReady = true }
    socket.onmessage = ({ data }) => { const { seq, event } = JSON.parse(data); add({ seq, ...event }) }`,
}

const folder = fileURLToPath(new URL('../../target/main-thread/', import.meta.url))
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies: versions }))
execFileSync('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: 'inherit' })

async function bundle(source) {
  writeFileSync(join(folder, 'app.js'), source)
  const client = fileURLToPath(new URL('../client/dist/index.js', import.meta.url))
  const { output } = await build({
    configFile: false,
    logLevel: 'error',
    root: folder,
    resolve: { alias: { '@carillon/client': client } },
    build: {
      write: false,
      modulePreload: false,
      minify: true,
      target: 'es2022',
      rolldownOptions: { input: join(folder, 'app.js'), output: { entryFileNames: 'app.js' } },
    },
  })
  return new Map(output.map(({ fileName, code }) => [`/${fileName}`, code]))
}

/** The event with this number, as it goes over each wire. */
const time = '2026-11-30T10:00:00.000Z'
const orderOf = (n) => ({
  n,
  order: 700_000 + n,
  customer: `Customer ${n % 997}`,
  total: (n * 37) % 10_000,
  note: 'x'.repeat(120),
})
const frames = {
  '/v1/ws': (n) => {
    const event = {
      id: `01a22bf1-e55b-764f-a97e-${String(n).padStart(12, '0')}`,
      source: 'shop',
      type: 'order.paid',
      time,
      data: orderOf(n),
    }
    return { type: 'event', seq: n, channels: ['order:7'], event }
  },
  '/centrifuge': (n) => ({
    push: { channel: 'order:7', pub: { data: { type: 'order.paid', time, data: orderOf(n) }, offset: n } },
  }),
}
frames['/none'] = frames['/v1/ws']

/** What a gateway or a Centrifugo says to a client that connects and subscribes. */
function answer(path, frame) {
  if (path === '/v1/ws' && frame.type === 'auth') {
    const { channels } = frame
    const limits = { frames_per_second: 50 }
    return {
      type: 'welcome',
      connection: 'c',
      tenant: 't',
      user: 'anna',
      roles: [],
      channels,
      seq: 0,
      epoch: 'e',
      heartbeat_ms: 25_000,
      limits,
    }
  }
  if (path === '/v1/ws')
    return frame.id === undefined ? null : { type: 'ok', id: frame.id, channels: frame.channels, seq: 0, epoch: 'e' }
  if (frame.connect) return { id: frame.id, connect: { client: 'c', version: '6', ping: 25, pong: true } }
  return frame.id ? { id: frame.id, subscribe: {} } : null
}

let files = new Map()
let present = null
const server = createServer((request, response) => {
  const code = files.get(new URL(request.url, 'http://x').pathname)
  response.writeHead(200, { 'content-type': code ? 'text/javascript' : 'text/html' })
  response.end(
    code ?? '<!doctype html><meta charset="utf-8"><title>list</title><body><script type="module" src="/app.js"></script>',
  )
})
const sockets = new WebSocketServer({ server, handleProtocols: (offered) => [...offered][0] ?? false })
sockets.on('connection', (socket, request) => {
  const path = new URL(request.url, 'http://x').pathname
  present = { socket, path }
  socket.on('message', (text) => {
    for (const line of String(text).split('\n').filter(Boolean)) {
      const said = answer(path, JSON.parse(line))
      if (said) socket.send(JSON.stringify(said))
    }
  })
})
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
const url = `http://127.0.0.1:${server.address().port}/`

async function send() {
  const { socket, path } = present
  const texts = Array.from({ length: EVENTS }, (_, n) => JSON.stringify(frames[path](n + 1)))
  const began = performance.now()
  for (let sent = 0; sent < EVENTS; ) {
    const due = Math.min(EVENTS, Math.ceil(((performance.now() - began) / MILLISECONDS) * EVENTS))
    while (sent < due) socket.send(texts[sent++])
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
}

async function measure(browser, code) {
  files = code
  const tab = await browser.newPage()
  await tab.goto(url)
  await tab.waitForFunction('window.isReady')
  const session = await tab.context().newCDPSession(tab)
  await session.send('Performance.enable')
  const metrics = async () => {
    const { metrics } = await session.send('Performance.getMetrics')
    return Object.fromEntries(metrics.map(({ name, value }) => [name, value]))
  }
  const [before, framesBefore, began] = [await metrics(), await tab.evaluate('seen().frames'), performance.now()]
  await send()
  // Seldom: being asked keeps the main thread busy, too.
  for (const until = Date.now() + 10_000; Date.now() < until && (await tab.evaluate('count()')) < EVENTS; )
    await new Promise((resolve) => setTimeout(resolve, 100))
  const [after, seen, took] = [await metrics(), await tab.evaluate('seen()'), performance.now() - began]
  await tab.close()
  if (seen.count !== EVENTS || !seen.inOrder) throw new Error(`not every event once and in order: ${JSON.stringify(seen)}`)
  return {
    busy: (after.TaskDuration - before.TaskDuration) * 1000,
    script: (after.ScriptDuration - before.ScriptDuration) * 1000,
    fps: ((seen.frames - framesBefore) / took) * 1000,
  }
}

const bundles = new Map()
for (const [name, program] of Object.entries(programs)) bundles.set(name, await bundle(program))
const executablePath = process.env.CARILLON_CHROMIUM ?? '/usr/bin/chromium'
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-features=LocalNetworkAccessChecks'] })
const results = new Map([...bundles.keys()].map((name) => [name, []]))
// The first round warms the browser up.
for (let round = 0; round <= ROUNDS; round++)
  for (const [name, code] of bundles) {
    const one = await measure(browser, code)
    if (round > 0) results.get(name).push(one)
  }
await browser.close()
server.close()
for (const socket of sockets.clients) socket.terminate()

const least = (all) => all.toSorted((a, b) => a.busy - b.busy)[0]
const rows = [...results].map(([name, all]) => {
  const { busy, script, fps } = least(all)
  const version = name === 'none' ? '–' : (versions[name] ?? 'this tree')
  return `| ${name === 'none' ? 'no library' : name} | ${version} | ${busy.toFixed(0)} | ${script.toFixed(0)} | ${fps.toFixed(0)} |`
})
const table = [
  '| library | version | main thread busy, ms | of it scripts, ms | frames a second |',
  '|---|---|---:|---:|---:|',
  ...rows,
].join('\n')
console.log(table)
if (process.argv.includes('--page')) {
  const file = fileURLToPath(new URL('../../docs/PEERS.md', import.meta.url))
  const [begin, end] = ['<!-- main thread: written by web/bench/main-thread.mjs --page -->', '<!-- end of main thread -->']
  const [head, rest] = readFileSync(file, 'utf8').split(begin)
  const tail = rest?.split(end)[1]
  if (tail === undefined) throw new Error(`${file} has no place for the figures`)
  writeFileSync(file, `${head}${begin}\n\n${table}\n\n${end}${tail}`)
}
