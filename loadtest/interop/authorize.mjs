// Do the applications of docs/examples, and the libraries of Standard Webhooks, believe what a gateway asks, and nobody else?

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { Webhook } from 'standardwebhooks'
import WebSocket from 'ws'
import { Checks, within } from './checks.mjs'
import { address, alive, need, stack } from './stack.mjs'

const checks = new Checks('authorize')
const python = need('CARILLON_PYTHON')
const examples = new URL('../../docs/examples/', import.meta.url).pathname
/** A port for a program that is started at once: below those that the system gives to outgoing connections. */
async function freePort() {
  for (;;) {
    const port = randomInt(10_000, 32_000)
    const server = createServer().listen(port, '127.0.0.1')
    const isFree = await new Promise((resolve) => server.once('listening', () => resolve(true)).once('error', () => resolve(false)))
    if (!isFree) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

async function put(path, body) {
  const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' }
  const answer = await fetch(`${stack.publisher}${path}`, { method: 'PUT', headers, body: JSON.stringify(body) })
  if (answer.status !== 200) throw new Error(`PUT ${path}: HTTP ${answer.status} ${await answer.text()}`)
  return answer.json()
}

/** What is set, with a secret that is new. */
async function ask(url) {
  await put(`/v1/tenants/${stack.tenant}`, { authorize_url: null })
  return (await put(`/v1/tenants/${stack.tenant}`, { authorize_url: url })).authorize_secret
}

/** The answer to a subscribe, on a gateway that follows the settings. */
async function subscribe(channel) {
  await new Promise((resolve) => setTimeout(resolve, 1500))
  const [name] = await alive() // other checks have killed one
  const gateway = stack.gateways[Number(name.split('-')[1]) - 1]
  const socket = new WebSocket(address(gateway), { headers: { authorization: `Bearer ${stack.token}` } })
  const answered = new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('message', (data) => {
      const frame = JSON.parse(data)
      if (frame.type === 'welcome') socket.send(JSON.stringify({ type: 'subscribe', id: 1, channels: [channel] }))
      else if (frame.id === 1) resolve(frame.code ?? frame.type)
    })
  })
  try {
    return await within(10_000, `subscribe to ${channel}`, answered)
  } finally {
    socket.close()
  }
}

async function listens(port) {
  for (let left = 100; left; left -= 1) {
    const socket = connect(port, '127.0.0.1')
    const up = await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
    socket.destroy()
    if (up) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`nothing listens on ${port}`)
}

await put(`/v1/channel-rules/order:%7Border%7D?tenant=${stack.tenant}`, { subscribe: ['ask'] })

for (const [name, program, file] of [['Node', 'node', 'authorize.mjs'], ['Python', python, 'authorize.py']]) {
  await checks.check(`the application of the documentation in ${name} decides, also during a rotation, and believes nobody else`, async () => {
    const port = await freePort()
    const secret = await ask(`http://127.0.0.1:${port}/`)
    const application = spawn(program, [`${examples}${file}`, secret, String(port)], { stdio: ['ignore', 'ignore', 'inherit'] })
    try {
      await listens(port)
      assert.equal(await subscribe('order:tester'), 'ok')
      assert.equal(await subscribe('order:other'), 'forbidden')
      await put(`/v1/tenants/${stack.tenant}`, { rotate_authorize_secret: true })
      assert.equal(await subscribe('order:tester'), 'ok', 'it still has the secret before')
      await ask(`http://127.0.0.1:${port}/`)
      assert.equal(await subscribe('order:tester'), 'unavailable', 'it has a secret that is none any more')
    } finally {
      application.kill()
      await once(application, 'exit')
    }
  })
}

await checks.check('the libraries of Standard Webhooks in JavaScript and Python believe a question, by either secret of a rotation', async () => {
  const asked = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request.setEncoding('utf8')) body += piece
    asked.push({ headers: request.headers, body })
    response.end('{"allow": true}')
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    const first = await ask(`http://127.0.0.1:${server.address().port}/`)
    const second = (await put(`/v1/tenants/${stack.tenant}`, { rotate_authorize_secret: true })).authorize_secret
    assert.equal(await subscribe('order:tester'), 'ok')
    const { headers, body } = asked.at(-1)
    for (const secret of [first, second]) {
      assert.equal(new Webhook(secret).verify(body, headers).channel, 'order:tester')
      const verified = spawnSync(python, [new URL('verify.py', import.meta.url).pathname], { input: JSON.stringify({ secret, headers, body }) })
      assert.equal(verified.status, 0, String(verified.stderr))
    }
    const foreign = `whsec_${Buffer.alloc(33, 7).toString('base64')}`
    assert.throws(() => new Webhook(foreign).verify(body, headers))
    assert.throws(() => new Webhook(second).verify(body.replace('tester', 'other'), headers))
  } finally {
    server.close()
    server.closeAllConnections()
  }
})

process.exit(checks.summary())
