// Do the libraries of Standard Webhooks in JavaScript and Python believe what a webhook sends, and nobody else?

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Webhook } from 'standardwebhooks'
import { Checks, within } from './checks.mjs'
import { need, stack } from './stack.mjs'

const checks = new Checks('webhooks')
const python = need('CARILLON_PYTHON')

async function call(method, path, body) {
  const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' }
  const answer = await fetch(`${stack.publisher}${path}`, { method, headers, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${method} ${path}: HTTP ${answer.status} ${await answer.text()}`)
  return answer.json()
}

const publish = (type) => call('POST', '/v1/events', { tenant: stack.tenant, type, channels: ['order:7'], data: { note: 'Größe €' } })

await checks.check('the libraries in JavaScript and Python believe every message, by either secret of a rotation', async () => {
  const messages = []
  let came = () => {}
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request.setEncoding('utf8')) body += piece
    messages.push({ headers: request.headers, body })
    response.writeHead(204).end()
    came()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const message = async (number) => {
    await within(20_000, `message ${number}`, (async () => {
      while (messages.length < number) await new Promise((resolve) => (came = resolve))
    })())
    return messages[number - 1]
  }
  const verify = (secret, { headers, body }) => {
    const event = new Webhook(secret).verify(body, headers)
    const input = JSON.stringify({ secret, headers, body })
    const verified = spawnSync(python, [new URL('verify.py', import.meta.url).pathname], { input })
    assert.equal(verified.status, 0, String(verified.stderr))
    return event
  }
  const place = `/v1/webhooks/interop`
  const query = `?tenant=${stack.tenant}`
  try {
    const { secret: before } = await call('PUT', place + query, { url: `http://127.0.0.1:${server.address().port}/` })
    const { seq } = await publish('order.paid')
    const first = verify(before, await message(1))
    assert.deepEqual([first.type, first.seq, first.sequence, first.data.note], ['order.paid', seq, String(seq), 'Größe €'])
    const { secret: after } = await call('POST', `${place}/rotate${query}`, {})
    await publish('order.sent')
    for (const secret of [before, after]) assert.equal(verify(secret, await message(2)).type, 'order.sent')
    // A test is JSON, too: some libraries refuse an empty body although it is signed.
    assert.equal((await call('POST', `${place}/test${query}`, {})).delivered, true)
    assert.equal(verify(after, await message(3)).type, 'carillon.webhook.test')
    const { headers, body } = await message(2)
    const foreign = `whsec_${Buffer.alloc(33, 7).toString('base64')}`
    assert.throws(() => new Webhook(foreign).verify(body, headers))
    assert.throws(() => new Webhook(after).verify(body.replace('sent', 'paid'), headers))
  } finally {
    server.close()
    server.closeAllConnections()
  }
})

process.exit(checks.summary())
