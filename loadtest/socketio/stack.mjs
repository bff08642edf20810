// What do the checks need of the stack? Two gateways of their own behind a balancer, and a token that has expired.

import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { createServer } from 'node:net'

import { until } from '../interop/checks.mjs'
import { need, stack } from '../interop/stack.mjs'
import { Balancer } from './balancer.mjs'

/** The same token, signed with this secret, with these claims instead of its own. */
function signed(token, secret, claims) {
  const [head, body] = token.split('.')
  const all = { ...JSON.parse(Buffer.from(body, 'base64url')), ...claims }
  const text = `${head}.${Buffer.from(JSON.stringify(all)).toString('base64url')}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

/** The same token, ended an hour ago. */
export function expired(token) {
  const ended = Math.floor(Date.now() / 1000) - 3600
  return signed(token, need('CARILLON_JWT_SECRET'), { iat: ended - 60, exp: ended })
}

/** The same token, signed by somebody else. */
export const forged = (token) => signed(token, 'x'.repeat(32), {})

/** Publishes one event or several. */
export async function publish(events) {
  const body = [events].flat().map((event) => ({ tenant: stack.tenant, data: {}, ...event }))
  const answer = await fetch(`${stack.publisher}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (answer.status !== 201) throw new Error(`publish: HTTP ${answer.status} ${await answer.text()}`)
}

const freePort = () => new Promise((done) => {
  const port = 10_000 + Math.floor(Math.random() * 22_000)
  const server = createServer().on('error', () => done(freePort())).listen(port, '127.0.0.1', () => server.close(() => done(port)))
})

/** Gateways behind a balancer that sends every request to the next of them. */
export const nodes = {
  balancer: await new Balancer().start(),
  children: new Map(),

  async start() {
    const [port, ops] = [await freePort(), await freePort()]
    const child = spawn(need('CARILLON_GATEWAY_PROGRAM'), ['serve'], {
      stdio: ['ignore', 'ignore', process.env.SIO_TALK ? 'inherit' : 'ignore'],
      env: {
        PATH: process.env.PATH,
        ...JSON.parse(need('CARILLON_GATEWAY_ENVIRONMENT')),
        CARILLON_SOCKETIO: 'on',
        CARILLON_NODE: `socketio-${port}`,
        CARILLON_LISTEN: `127.0.0.1:${port}`,
        CARILLON_OPS_LISTEN: `127.0.0.1:${ops}`,
      },
    })
    this.children.set(port, child)
    await until(30_000, 'a gateway', async () => (await fetch(`http://127.0.0.1:${ops}/readyz`).catch(() => ({}))).ok)
    this.balancer.targets.push(port)
    return port
  },

  /** Ends one, and starts another in its place. */
  async end(port, signal) {
    const child = this.children.get(port)
    const gone = new Promise((done) => child.once('exit', done))
    // A balancer sees that a node drains before its connections end.
    if (signal === 'SIGTERM') this.balancer.targets = this.balancer.targets.filter((other) => other !== port)
    child.kill(signal)
    this.balancer.targets = this.balancer.targets.filter((other) => other !== port)
    this.children.delete(port)
    await Promise.all([gone, this.start()])
  },

  async stop() {
    this.balancer.stop()
    for (const child of this.children.values()) child.kill('SIGKILL')
  },
}
