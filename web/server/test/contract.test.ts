// Does the package do with a real installation what its guide says?

import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Stack, startStack, until } from '../../testing/stack.js'
import { Carillon, InvalidRequestError, token, UnauthorizedError, type VerifiedWebhook, verifyWebhook } from '../src/index.js'

let stack: Stack
beforeAll(async () => {
  stack = await startStack('--gateways', '1', '--publishers', '2')
}, 120_000)
afterAll(() => stack?.down())

const client = (tenant: string, more: object = {}) => new Carillon({ url: stack.lb, apiKey: stack.api_key, tenant, ...more })
const userToken = (user: string, tenant: string, more: object = {}) => token({ secret: stack.jwt_secret, user, tenant, ...more })

async function rest(method: string, path: string, bearer: string, body?: unknown) {
  const answer = await fetch(stack.lb + path, {
    method,
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

interface Logged {
  seq: number
  event: { id: string; type: string; data: { n: number }; time: string }
}
const log = async (tenant: string): Promise<Logged[]> => {
  const events: Logged[] = []
  for (let after = '0'; ; ) {
    const page = await rest('GET', `/v1/events?tenant=${tenant}&order=asc&limit=200&after=${after}`, stack.api_key)
    events.push(...page.events)
    if (page.events.length < 200) return events
    after = page.next
  }
}

test('one event and many are in the log as they were given, in order', async () => {
  const carillon = client('one')
  const receipt = await carillon.publish({
    type: 'order.paid',
    channel: 'order:7',
    data: { n: 1 },
    time: new Date(1_795_000_000_000),
  })
  expect(receipt).toEqual({ id: expect.any(String), seq: 1, epoch: expect.any(String) })
  const receipts = await carillon.publish([2, 3, 4].map((n) => ({ type: 'order.sent', roles: ['desk'], data: { n } })))
  expect(receipts.map(({ seq }) => seq)).toEqual([2, 3, 4])
  const stored = await log('one')
  expect(stored.map(({ event }) => event.data.n)).toEqual([1, 2, 3, 4])
  expect(stored[0]?.event).toMatchObject({ id: receipt.id, type: 'order.paid', time: '2026-11-18T11:06:40Z' })
})

test('the position is where the log stands', async () => {
  const carillon = client('position')
  const before = await carillon.position()
  expect(before).toEqual({ epoch: expect.any(String), seq: 0 })
  const { seq, epoch } = await carillon.publish({ type: 'a', channel: 'x' })
  expect(await carillon.position()).toEqual({ seq, epoch })
})

test('an answer that is lost makes no second event: by ids, by ids of an array, by an idempotency key', async () => {
  let lose = 0
  const losing: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init)
    if (lose-- > 0) throw new TypeError('the answer was lost')
    return answer
  }
  const carillon = client('lost', { fetch: losing, retry: { baseMs: 1 } })
  for (const publish of [
    () => carillon.publish({ type: 'a', tenant_wide: true, data: { n: 1 } }),
    () => carillon.publish([2, 3].map((n) => ({ type: 'a', tenant_wide: true, data: { n } }))),
    () => carillon.publish({ type: 'a', tenant_wide: true, data: { n: 4 } }, { idempotencyKey: 'four' }),
    () => carillon.publish({ type: 'a', tenant_wide: true, data: { n: 4 } }, { idempotencyKey: 'four' }),
    () => carillon.notice({ title: 'five', audience: { tenant: true }, data: { n: 5 } }),
  ]) {
    lose = 3
    await publish()
  }
  expect((await log('lost')).map(({ event }) => event.data?.n)).toEqual([1, 2, 3, 4, 5])
})

test('a publisher is killed while 400 events are published: each is stored once', async () => {
  const carillon = client('killed', { retry: { attempts: 12 } })
  const numbers = Array.from({ length: 400 }, (_, n) => n)
  const waiting = [...numbers]
  let done = 0
  const worker = async () => {
    for (let n = waiting.shift(); n !== undefined; n = waiting.shift()) {
      await carillon.publish({ type: 'a', tenant_wide: true, data: { n } })
      done += 1
    }
  }
  const workers = Promise.all(Array.from({ length: 8 }, worker))
  await until('a quarter is stored', () => done > 100)
  const [name, pid] = Object.entries(stack.pids).find(([one]) => one.startsWith('publisher')) ?? []
  expect(name).toBeDefined()
  process.kill(pid as number, 'SIGKILL')
  await workers
  expect((await log('killed')).map(({ event }) => event.data.n).sort((a, b) => a - b)).toEqual(numbers)
})

test('what is refused names its place; keys and scopes have their own errors', async () => {
  const invalid = await client('refused')
    .publish([
      { type: 'a', channel: 'x' },
      { type: 'b b', channel: 'x' },
    ])
    .catch((error) => error)
  expect(invalid).toBeInstanceOf(InvalidRequestError)
  expect(invalid).toMatchObject({
    status: 422,
    code: 'validation',
    attempts: 1,
    errors: [expect.objectContaining({ pointer: '/1/type' })],
  })
  const mismatch = client('refused')
  await mismatch.publish({ type: 'a', channel: 'x' }, { idempotencyKey: 'k' })
  await expect(mismatch.publish({ type: 'b', channel: 'x' }, { idempotencyKey: 'k' })).rejects.toMatchObject({
    code: 'idempotency_mismatch',
  })
  const stranger = new Carillon({ url: stack.lb, apiKey: `${stack.api_key.slice(0, -4)}AAAA`, tenant: 'refused' })
  await expect(stranger.publish({ type: 'a', channel: 'x' })).rejects.toBeInstanceOf(UnauthorizedError)
  expect(await client('refused').ticket(stack.api_key)).toHaveProperty('ticket')
})

test('a token lets its user in, with the roles and channels it names; a notice is in their inbox', async () => {
  const mila = await userToken('mila', 'school', { roles: ['teacher'], channels: ['class:*'] })
  await rest('GET', '/v1/inbox/summary', mila)
  const { seq } = await client('school').notice({ title: 'Staff meeting', audience: { roles: ['teacher'] }, requires_ack: true })
  expect(await rest('GET', '/v1/inbox', mila)).toMatchObject({
    unread: 1,
    items: [{ seq, title: 'Staff meeting', requires_ack: true }],
  })
  const welcome = await firstFrame(`/v1/sse?channels=class:3a&token=${mila}`)
  expect(welcome).toMatchObject({
    type: 'welcome',
    user: 'mila',
    tenant: 'school',
    roles: ['teacher'],
    channels: ['tenant', 'user:mila', 'role:teacher', 'class:3a'],
  })
})

test('a ticket opens one stream', async () => {
  const { ticket, expires_in } = await client('school').ticket(await userToken('jan', 'school'))
  expect(expires_in).toBe(30)
  expect(await firstFrame(`/v1/sse?ticket=${ticket}`)).toMatchObject({ type: 'welcome', user: 'jan' })
  expect((await fetch(`${stack.lb}/v1/sse?ticket=${ticket}`)).status).toBe(401)
})

async function firstFrame(path: string) {
  const ending = new AbortController()
  const answer = await fetch(stack.lb + path, { signal: ending.signal })
  expect(answer.status).toBe(200)
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ''
  while (!text.includes('\n\n')) text += (await reader.read()).value
  await reader.cancel()
  ending.abort()
  return JSON.parse(/^data: ?(.*)$/m.exec(text)?.[1] ?? '')
}

test('webhooks: every message verifies, also while the secret is changed; a changed one does not', async () => {
  const secret = `whsec_${btoa('the first secret of twenty-four bytes')}`
  let secrets = [secret]
  /** Of the last message. */
  let signatures = 0
  const believed: VerifiedWebhook[] = []
  const refused: unknown[] = []
  const server = createServer(async (request, response) => {
    const body = await bytes(request)
    signatures = String(request.headers['webhook-signature']).split(' ').length
    await expect(
      verifyWebhook(Buffer.concat([body, Buffer.from(' ')]), request.headers, { secret: secrets }),
    ).rejects.toMatchObject({ code: 'signature_mismatch' })
    await verifyWebhook(body, request.headers, { secret: secrets }).then(
      (message) => believed.push(message),
      (error) => refused.push(error),
    )
    response.writeHead(204).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
    await rest('PUT', '/v1/webhooks/orders?tenant=hooked', stack.api_key, { url, types: ['order.*'], secret })
    const { seq } = await client('hooked').publish({ type: 'order.paid', channel: 'order:7', data: { n: 'zwölf €' } })
    await until('the first message', () => believed.length === 1)
    expect(believed[0]).toMatchObject({
      id: expect.stringMatching(/^hooked_.*_1$/),
      body: { tenant: 'hooked', seq, sequence: '1', type: 'order.paid', data: { n: 'zwölf €' } },
    })
    const rotated = await rest('POST', '/v1/webhooks/orders/rotate?tenant=hooked', stack.api_key, {})
    const next = async (what: string) => {
      const before = believed.length
      await client('hooked').publish({ type: 'order.sent', channel: 'order:7' })
      await until(what, () => believed.length > before)
    }
    // What is under way when the secret is changed goes by the one before; from then on both sign.
    await until('both sign', async () => {
      await next('one by the old secret')
      return signatures === 2
    })
    secrets = [rotated.secret]
    await next('one by the new secret')
    expect(refused).toEqual([])
  } finally {
    server.close()
  }
})

async function bytes(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = []
  for await (const piece of request) pieces.push(piece as Buffer)
  return Buffer.concat(pieces)
}
