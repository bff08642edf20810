// Do the libraries keep their promises outside browsers and this Node: in Bun, Deno, the newest Node and a Worker, at real gateways?
//
// `CARILLON_RUNTIMES` names the folder of their programs. Started by run.sh.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Installation } from '../client/test/installation.js'
import { bundle } from '../testing/bundle.js'
import { type Stack, startStack, until } from '../testing/stack.js'

const folder = process.env.CARILLON_RUNTIMES ?? ''
const program = fileURLToPath(new URL('program.mjs', import.meta.url))
const all = { bun: ['run'], deno: ['run', '--allow-net', '--no-prompt'], node: [] }
const there = Object.entries(all).filter(([name]) => existsSync(`${folder}/${name}`))

let stack: Stack
let at: Installation
let tests = 0
const programs: ChildProcess[] = []

beforeAll(async () => {
  expect(there.length, `a runtime in ${folder}`).toBeGreaterThan(0)
  stack = await startStack('--gateways', '3')
})
afterAll(() => stack?.down())
beforeEach(() => {
  at = new Installation(stack, `runtime-${++tests}`)
})
afterEach(() => {
  at.close()
  for (const one of programs.splice(0)) one.kill()
})

/** What a program says, line by line. */
// biome-ignore lint/suspicious/noExplicitAny: each test knows what its program says
type Line = any

function start(name: string, options: string[], given: object): { lines: Line[]; ended: Promise<number | null> } {
  const lines: Line[] = []
  const one = spawn(`${folder}/${name}`, [...options, program, JSON.stringify(given)], { stdio: ['ignore', 'pipe', 'inherit'] })
  programs.push(one)
  createInterface({ input: one.stdout! }).on('line', (line) => lines.push(JSON.parse(line)))
  return { lines, ended: new Promise((resolve) => one.on('close', resolve)) }
}

/** A webhook as it comes, and a back end that is given it. */
function backEnd() {
  const body = JSON.stringify({ type: 'order.paid' })
  const key = Buffer.from('0123456789abcdef0123456789abcdef')
  const now = `${Math.floor(Date.now() / 1000)}`
  const signature = createHmac('sha256', key).update(`msg-1.${now}.${body}`).digest('base64')
  const headers = { 'webhook-id': 'msg-1', 'webhook-timestamp': now, 'webhook-signature': `v1,${signature}` }
  const webhook = { body, headers, secret: `whsec_${key.toString('base64')}` }
  return { does: 'serve', publisher: stack.publisher, apiKey: stack.api_key, tenant: at.tenant, webhook }
}
const served = { same: true, type: 'order.paid', wrong: 'signature_mismatch' }

describe.each(there)('%s', (name, options) => {
  test('says which it is', () => {
    const [version] = execFileSync(`${folder}/${name}`, ['--version']).toString().split('\n')
    console.log(`runtime: ${name} ${version}`)
    expect(version).toMatch(/\d/)
  })

  test.each(['websocket', 'sse'])(
    'every event once and in order over %s, though the gateway is killed; it publishes, reads the past and the inbox, and ends by itself',
    async (transport) => {
      await at.rest('PUT', `/v1/channel-rules/order:*?tenant=${at.tenant}`, { publish: ['anyone'], durable: true })
      const count = 400
      const given = { does: 'listen', url: stack.lb, secret: stack.jwt_secret, tenant: at.tenant, count, transport }
      const { lines, ended } = start(name, options, given)
      await until('it is there', () => lines.length === 1, 40_000)
      expect(lines[0]).toMatchObject({ ready: transport })
      await at.publish(200)
      const [gateway] = Object.keys(stack.pids).filter((one) => lines[0].connection.startsWith(`${one}-`))
      process.kill(stack.pids[gateway!]!, 'SIGKILL')
      delete stack.pids[gateway!]
      await at.publish(200)
      expect(await ended).toBe(0)
      await stack.revive()
      const numbers = Array.from({ length: count }, (_, i) => i + 1)
      expect(lines[1]).toMatchObject({ numbers, resyncs: [], history: [count - 1, count, count + 1], notices: 0 })
      expect(lines[1].seq).toBeGreaterThan(count)
    },
  )

  test('a back end publishes an event once though it says it twice, and takes no webhook that was changed', async () => {
    const { lines, ended } = start(name, options, backEnd())
    expect(await ended).toBe(0)
    expect(lines).toEqual([served])
  })
})

const miniflare = `${folder}/../miniflare/dist/src/index.js`
test.runIf(existsSync(miniflare))('a Worker is such a back end, too', async () => {
  const serve = fileURLToPath(new URL('serve.mjs', import.meta.url))
  const { code } = await bundle(
    `import { serve } from ${JSON.stringify(serve)}
    export default { fetch: async (request) => Response.json(await serve(await request.json())) }`,
    [],
  )
  const { Miniflare } = await import(miniflare)
  const worker = new Miniflare({ modules: true, script: code, compatibilityDate: '2026-01-01' })
  try {
    const answer = await worker.dispatchFetch('http://localhost/', { method: 'POST', body: JSON.stringify(backEnd()) })
    expect(await answer.json()).toEqual(served)
  } finally {
    await worker.dispose()
  }
})
