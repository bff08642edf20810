// Do the programs of docs/guide/client.md run as they stand there, and show what they say?

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Stack, startStack, until } from '../../testing/stack.js'
import { Installation } from './installation.js'

const guide = readFileSync(new URL('../../../docs/guide/client.md', import.meta.url), 'utf8')
const programs = new Map<string, string>()
for (const section of guide.split(/^## /m).slice(1)) {
  const [, code] = /^```js\n([\s\S]+?)^```$/m.exec(section) ?? []
  if (code) programs.set(section.split('\n')[0]!, code)
}

let stack: Stack
let at: Installation
let folder: string
const children: ChildProcess[] = []

beforeAll(async () => {
  stack = await startStack('--gateways', '1')
  at = new Installation(stack, 'guide')
  const parent = fileURLToPath(new URL('../../node_modules/.guide/', import.meta.url))
  mkdirSync(parent, { recursive: true })
  folder = mkdtempSync(join(parent, 'client-'))
  const rule = { subscribe: ['anyone'], signal: ['anyone'], presence: ['anyone'] }
  await at.rest('PUT', `/v1/channel-rules/branch:*?tenant=${at.tenant}`, rule)
})
afterAll(async () => {
  for (const child of children) child.kill()
  rmSync(folder, { recursive: true, force: true })
  await stack?.down()
})

/** A program of the page, with the address and the back end of this installation; what it has printed. */
function run(heading: string, token = at.token()): () => string {
  const code = programs.get(heading)!.replace('https://events.example.com', stack.lb)
  const backEnd = `const real = globalThis.fetch
globalThis.fetch = (url, init) => url === '/carillon-token' ? Promise.resolve(new Response(${JSON.stringify(token)})) : real(url, init)
`
  const file = join(folder, `${heading.replace(/\W+/g, '-')}.mjs`)
  writeFileSync(file, backEnd + code)
  const child = spawn(process.execPath, ['--experimental-websocket', '--no-warnings', file])
  children.push(child)
  let told = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece) => {
      told += piece
    })
  return () => told
}

const publish = (event: object) => at.rest('POST', '/v1/events', { tenant: at.tenant, ...event })
/** Those of a tenant, as gateways have said a second ago. */
async function connections(tenant: string, more = ''): Promise<string[]> {
  const answer = await at.rest('GET', `/v1/connections?tenant=${tenant}${more}`)
  return ((await answer.json()) as { connections: { connection: string }[] }).connections.map(({ connection }) => connection)
}
const shows = async (told: () => string, ...texts: string[]) => {
  for (const text of texts) await until(`${text} in: ${told()}`, () => told().includes(text), 15_000)
}

test('every program of the page is run here', () => {
  expect([...programs.keys()]).toEqual([
    'Begin',
    'Channels',
    'Once each, in order',
    'Rows that stay right',
    'Who is here, who types',
    'The inbox',
    'Several tenants',
  ])
})

test('Begin, and Once each: events of one’s own channels', async () => {
  const [begin, stored] = [run('Begin'), run('Once each, in order')]
  await until('both are connected', async () => (await connections(at.tenant)).length === 2)
  await publish({ type: 'appointment.created', users: ['anna'], id: 'a-1', data: { service: 'photo' } })
  await shows(begin, "appointment.created { service: 'photo' }")
  await shows(stored, 'stored a-1')
})

test('Channels, and Rows: the past, then what is live', async () => {
  await publish({ type: 'order.created', channel: 'order:7', data: { total: 10 } })
  const [channel, rows] = [run('Channels'), run('Rows that stay right')]
  await shows(channel, 'before 10', 'live from')
  await shows(rows, 'live [10]')
  await publish({ type: 'order.changed', channel: 'order:7', data: { total: 12 } })
  await shows(channel, 'now 12')
  await shows(rows, 'live [10,12]')
})

test('Who is here, who types: oneself is seen', async () => {
  await shows(run('Who is here, who types'), '1 here: anna')
})

test('The inbox: a notice is counted, listed and shown', async () => {
  const told = run('The inbox', at.token({ sub: 'ina' }))
  await shows(told, 'unread: 0')
  // The count is asked for over HTTP; what comes before there is a connection is listed, and no toast.
  await until('it is connected', async () => (await connections(at.tenant, '&user=ina')).length === 1)
  await publish({ type: 'order.paid', users: ['ina'], data: {}, notify: { title: 'Paid' } })
  await shows(told, 'unread: 1', 'live Paid', 'toast: Paid')
})

test('Several tenants: each is heard, over one connection', async () => {
  const tenants = { 'linden-school': ['director'], 'birch-school': ['director'] }
  const told = run('Several tenants', at.token({ tenant: undefined, tenants }))
  await shows(told, 'linden-school connected', 'birch-school connected')
  for (const tenant of Object.keys(tenants))
    await publish({ tenant, type: 'notice.sent', roles: ['director'], data: { title: `to ${tenant}` } })
  await shows(told, 'linden-school: to linden-school', 'birch-school: to birch-school')
  // One that was made anew for the second tenant may stand in the list of the first for a moment.
  await until('one connection in both', async () => {
    const all = await Promise.all(Object.keys(tenants).map((tenant) => connections(tenant)))
    return all.every((some) => some.length === 1) && new Set(all.flat()).size === 1
  })
})
