// The back end of the examples: serves the built pages, signs in, and does what their buttons ask for.
//
// An application of yours has all of this already: its own pages, its own sign-in, its own actions. What it needs of Carillon is `token` and
// `Carillon` of @carillon/server.
//
//   CARILLON_URL=… CARILLON_API_KEY=… CARILLON_JWT_SECRET=… PORT=8000 node serve.mjs
//
// `carillon up --examples` starts it so. It listens on loopback only: whoever reaches it is signed in.

import { createReadStream, existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { extname, join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Carillon, token } from '@carillon/server'

const dist = fileURLToPath(new URL('dist', import.meta.url))
const need = (name) => process.env[name] || fail(`${name} is not set`)
const url = need('CARILLON_URL')
const apiKey = need('CARILLON_API_KEY')
const secret = need('CARILLON_JWT_SECRET')
if (!existsSync(join(dist, 'index.html'))) fail('the pages are not built; run `make web` first')

const carillon = new Carillon({ url, apiKey })
const schools = ['linden-school', 'birch-school', 'maple-school']

/** Who uses each page, and what its buttons do. */
const examples = {
  appointments: {
    user: 'anna',
    tenants: { 'studio-nova': ['staff'] },
    caps: ['admin'],
    actions: {
      confirm: (data) => appointment('appointment.confirmed', data),
      cancel: (data) => appointment('appointment.cancelled', { ...data, reason: 'cancelled at the front desk' }),
    },
  },
  crm: {
    user: 'irina',
    tenants: { 'verde-wellness': ['reception', 'owner'] },
    channels: ['branch:*', 'staff'],
    actions: {
      shift: ({ staff, state }) => ({
        tenant: 'verde-wellness',
        type: 'staff.status',
        channel: 'staff',
        key: String(staff),
        data: { staff, state },
        source: 'front-desk',
        actor: 'irina',
      }),
      'check-in': (data) => visit('client.checked_in', data),
      'check-out': (data) => visit('client.checked_out', data),
    },
  },
  leads: {
    user: 'nadia',
    tenants: { 'north-leads': ['ADMIN'] },
    channels: ['lead:*', 'contact:*', 'campaign:*'],
    actions: {
      answer: ({ lead, text }) => ({
        tenant: 'north-leads',
        type: 'message.sent',
        channels: [`lead:${lead}`, `contact:${lead}`],
        roles: ['ADMIN'],
        data: { lead, from: 'nadia', text },
        source: 'app',
        actor: 'nadia',
      }),
    },
  },
  shop: {
    user: 'luna',
    tenants: { 'bazaar-luna': ['merchant'] },
    channels: ['admin_dashboard', 'order:*'],
    actions: {
      move: ({ order, customer, from, to }) => ({
        tenant: 'bazaar-luna',
        type: 'order_status_changed',
        channels: [`order:${order}`, 'admin_dashboard'],
        roles: ['merchant'],
        data: { order, customer, from, to },
        source: 'dashboard',
        actor: 'luna',
      }),
    },
  },
  school: {
    user: 'director-sommer',
    tenants: Object.fromEntries(schools.map((school) => [school, ['director']])),
    actions: {
      notice: ({ tenant, title }) =>
        schools.includes(tenant) && {
          tenant,
          type: 'notice',
          roles: ['director', 'principal', 'teacher'],
          notify: { title, requires_ack: true },
          actor: 'director-sommer',
        },
    },
  },
}

function appointment(type, { appointment, client, slot, reason }) {
  const data = { appointment, client, slot, ...(reason && { reason }) }
  return { tenant: 'studio-nova', type, tenant_wide: true, data, source: 'admin_panel', actor: 'anna' }
}

function visit(type, { visit, client, branch }) {
  const data = { visit, client, branch }
  return { tenant: 'verde-wellness', type, channel: `branch:${branch}`, data, source: 'front-desk', actor: 'irina' }
}

/** A token of the person of a page, as your application makes one for who is signed in. */
async function session({ user, tenants, channels, caps }) {
  const made = await token({ secret, user, tenant: Object.keys(tenants)[0], tenants, channels, caps, meta: { name: user } })
  return { url, token: made, user, tenants: Object.keys(tenants) }
}

/** What people may do beside reading: see who is here, type, and write notes. Rules that a tenant has stay. */
async function setRules() {
  const anyone = ['anyone']
  const rules = {
    tenant: { subscribe: anyone, presence: anyone, signal: anyone, publish: anyone, client_types: ['note'] },
    staff: { subscribe: anyone },
  }
  for (const tenant of new Set(Object.values(examples).flatMap(({ tenants }) => Object.keys(tenants)))) {
    for (const [pattern, rule] of Object.entries(rules)) {
      const path = `${url}/v1/channel-rules/${pattern}?tenant=${tenant}`
      const headers = { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' }
      const known = await fetch(path, { headers })
      const answer = known.status === 404 ? await fetch(path, { method: 'PUT', headers, body: JSON.stringify(rule) }) : known
      if (!answer.ok) fail(`the rule for ${pattern} of ${tenant}: ${answer.status} ${await answer.text()}`)
    }
  }
}

/** An inbox begins when its owner comes for the first time: from now on, everybody's. */
async function openInboxes() {
  for (const example of Object.values(examples)) {
    const { token: theirs, tenants } = await session(example)
    for (const tenant of tenants) {
      const came = await fetch(`${url}/v1/inbox/summary?tenant=${tenant}`, { headers: { authorization: `Bearer ${theirs}` } })
      if (!came.ok) fail(`the inbox of ${example.user} in ${tenant}: ${came.status} ${await came.text()}`)
    }
  }
}

/** What the director finds there. The keys make a second start write nothing twice. */
async function seed() {
  const titles = ['Fire drill on Monday', 'New rules for excursions', 'Parents’ evening']
  for (const [n, tenant] of schools.entries()) {
    const notice = {
      tenant,
      title: titles[n],
      body: 'Please confirm that you have read this.',
      audience: { roles: ['director', 'teacher'] },
      requires_ack: true,
    }
    await carillon.notice(notice, { idempotencyKey: `example-${tenant}` })
  }
}

const kinds = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' }

async function page(path, response) {
  const file = join(dist, path.endsWith('/') ? `${path}index.html` : path)
  const found = file.startsWith(dist + sep) && (await stat(file).catch(() => null))
  if (!found) return response.writeHead(404).end('not found\n')
  if (found.isDirectory()) return response.writeHead(301, { location: `${path}/` }).end()
  response.writeHead(200, { 'content-type': kinds[extname(file)] ?? 'application/octet-stream', 'cache-control': 'no-cache' })
  createReadStream(file)
    .on('error', () => response.destroy())
    .pipe(response)
}

async function body(request) {
  let text = ''
  for await (const piece of request.setEncoding('utf8')) {
    text += piece
    if (text.length > 16_384) throw new TypeError('the body is too long')
  }
  return JSON.parse(text)
}

const isLoopback = (host = '') => /^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host)

async function answer(request, response) {
  const json = (status, value) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
  const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname)
  const [, kind, name, action] = path.split('/')
  // Another name that leads here is a page of somebody else (DNS rebinding).
  if (!isLoopback(request.headers.host)) return json(403, { detail: 'this server is for pages of this machine' })
  if (kind !== 'session' && kind !== 'do') return page(path, response)
  const example = Object.hasOwn(examples, name) ? examples[name] : null
  if (!example) return json(404, { detail: `there is no example ${name}` })
  if (kind === 'session') return json(200, await session(example))
  if (request.method !== 'POST' || !Object.hasOwn(example.actions, action)) return json(404, { detail: 'no such action' })
  // Pages of others cannot send this type without asking first, and are not answered.
  if (request.headers['content-type'] !== 'application/json') return json(415, { detail: 'application/json is taken' })
  const event = example.actions[action](await body(request))
  return event ? json(200, await carillon.publish(event)) : json(422, { detail: 'this does not fit' })
}

function fail(text) {
  console.error(`examples: ${text}`)
  process.exit(1)
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    const status =
      error instanceof SyntaxError || error instanceof TypeError || error instanceof URIError ? 400 : (error.status ?? 502)
    if (!response.headersSent) response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify({ detail: error.message }))
  })
})
server.on('error', (error) => fail(error.message))
await setRules()
await openInboxes()
await seed()
server.listen(Number(process.env.PORT ?? 0), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}/`))
for (const signal of ['SIGTERM', 'SIGINT'])
  process.on(signal, () => {
    server.close(() => process.exit(0))
    server.closeAllConnections()
  })
