// How does a script publish, and how does it ask the log where it ends?

import { check, sleep as pause } from 'k6'
import http from 'k6/http'

import { acknowledged, acknowledging, repeated } from './measures.js'
import { twin, url } from './settings.js'
import { sleep } from './time.js'
import { mint } from './token.js'

const tokens = {}

/** Headers of somebody who may publish to this tenant and read all of it. */
export function authority(tenant) {
  tokens[tenant] ||= mint({ sub: 'k6', tenant, caps: ['publish', 'admin'] })
  return { Authorization: `Bearer ${tokens[tenant]}`, 'Content-Type': 'application/json' }
}

/**
 * Posts a body to `/v1/events`. A request that was not answered, or with 503, is repeated, as a careful publisher does:
 * events have ids, so nothing is stored twice. (A balancer may close an idle connection just when a request sets out.)
 */
export function post(tenant, body, name, params = {}) {
  const { headers = {}, ...others } = params
  const ask = () => http.post(`${url}/v1/events`, JSON.stringify(body), {
    headers: { ...authority(tenant), ...headers }, tags: { name }, ...others,
  })
  let response = ask()
  for (let again = 0; (response.status === 0 || response.status === 503) && again < 5; again += 1) {
    repeated.add(1)
    pause(0.2)
    response = ask()
  }
  return response
}

const kinds = ['appointment.created', 'appointment.updated', 'appointment.confirmed', 'bot.message.received', 'slot.created']
let published = 0

/** One event for everybody of the tenant, with the moment it was made. */
export function event(more = {}) {
  published += 1
  const kind = kinds[published % kinds.length]
  const data = { stamp: Date.now(), number: published, note: 'A booking, told to everybody at the reception desk' }
  // A hole for every reader: the number is given out, but only to a channel where nobody is.
  const target = twin === 'elsewhere' && published % 5 === 0 ? { channels: ['elsewhere:nobody'] } : { tenant_wide: true }
  const id = `${data.stamp.toString(36)}-${published}-${Math.random().toString(36).slice(2)}`
  return { id, type: kind, source: 'telegram', ...target, data, ...more }
}

/** Publishes one event, which must be acknowledged. */
export function publish(tenant, more) {
  const response = post(tenant, event(more), 'POST /v1/events')
  if (check(response, { 'an event is acknowledged': ({ status }) => status === 201 })) {
    acknowledged.add(1)
    acknowledging.add(response.timings.duration)
  }
  return response
}

/** The number of the tenant's last event; 0 for none. An overloaded log is asked again a few times, as it wishes. */
export async function head(tenant) {
  const ask = () => http.asyncRequest('GET', `${url}/v1/events?limit=1`, null, {
    headers: authority(tenant), tags: { name: 'GET /v1/events' }, responseCallback: http.expectedStatuses(200, 503),
  })
  let response = await ask()
  for (let again = 0; response.status === 503 && again < 5; again += 1) {
    await sleep(1000)
    response = await ask()
  }
  if (!check(response, { 'the log can be read': ({ status }) => status === 200 })) return 0
  const [newest] = response.json('events')
  return newest ? newest.seq : 0
}
