// What do the checks of all clients need of the stack? Events in numbers, the largest there can be, and gateways of their own.

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:net'

import { until } from '../interop/checks.mjs'
import { need, stack } from '../interop/stack.mjs'

export const PATIENCE = 20_000
export const EVENTS = 1000

const post = (events) => fetch(`${stack.publisher}/v1/events`, {
  method: 'POST',
  headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
  body: JSON.stringify(events),
})

/** Publishes some in one request and returns their numbers. */
export async function publish(events) {
  const answer = await post(events.map((event) => ({ tenant: stack.tenant, type: 'client', ...event })))
  if (answer.status !== 201) throw new Error(`publish: HTTP ${answer.status} ${await answer.text()}`)
  return (await answer.json()).map(({ seq }) => seq)
}

/** What stands around the data of the largest event. */
const overhead = await (async () => {
  const event = { specversion: '1.0', id: 'x'.repeat(36), source: 'api', type: 'client', time: '2026-03-01T09:30:00Z', datacontenttype: 'application/json', data: '' }
  // The stored form may leave some of these out: the publisher says how large it may be.
  for (let room = JSON.stringify(event).length; room > 0; room -= 1) {
    const answer = await post({ tenant: stack.tenant, type: 'client', channels: ['contact:size'], id: `size-${room}`.padEnd(36, 'x'), time: event.time, data: 'x'.repeat(65_536 - room) })
    if (answer.status !== 201) return room + 1
  }
  throw new Error('the limit of an event was not found')
})()

/** An event as large as one may be, to this channel and ninety-nine of the longest names. */
export function largest(channel) {
  const channels = Array.from({ length: 100 }, (_, n) => (n ? `contact:${n}`.padEnd(128, 'x') : channel))
  return { channels, id: randomUUID(), time: '2026-03-01T09:30:00Z', data: 'x'.repeat(65_536 - overhead) }
}

/** One more gateway, with these variables besides the stack's own. */
export async function gateway(env = {}) {
  const free = () => new Promise((done) => { const server = createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => done(port)) }) })
  const [port, ops] = [await free(), await free()]
  const child = spawn(need('CARILLON_GATEWAY_PROGRAM'), ['serve'], {
    stdio: 'ignore',
    env: {
      PATH: process.env.PATH,
      ...JSON.parse(need('CARILLON_GATEWAY_ENVIRONMENT')),
      CARILLON_NODE: `clients-${port}`,
      CARILLON_LISTEN: `127.0.0.1:${port}`,
      CARILLON_OPS_LISTEN: `127.0.0.1:${ops}`,
      ...env,
    },
  })
  await until(PATIENCE, 'a gateway', async () => (await fetch(`http://127.0.0.1:${ops}/readyz`).catch(() => ({}))).ok)
  return { child, url: `ws://127.0.0.1:${port}/v1/ws` }
}
