// Can a client of openapi-typescript and openapi-fetch publish and list?
import createClient from 'openapi-fetch'
import { check, key, tenant, unique, url } from './expect.ts'
import type { paths } from './openapi-typescript/schema.d.ts'

const client = createClient<paths>({ baseUrl: url, headers: { Authorization: `Bearer ${key}` } })
const type = `generated.${unique}`

await check('publish', async () => {
  const { data, error } = await client.POST('/v1/events', {
    params: { header: { 'Idempotency-Key': unique } },
    body: { type, tenant, users: ['42'], data: { n: 1 } },
  })
  return data ? data.seq : error
})
await check('batch', async () => {
  const { data, error } = await client.POST('/v1/event-batches', {
    body: [{ type, tenant, channels: ['contact:1'] }, { type, tenant, tenant_wide: true, priority: 'high' }],
  })
  return data ? data.length === 2 : error
})
await check('CloudEvent', async () => {
  const { data, error } = await client.POST('/v1/cloudevents', {
    headers: { 'Content-Type': 'application/cloudevents+json' },
    body: { specversion: '1.0', id: `c-${unique}`, source: '/generated', type, tenant, channels: ['contact:1'] },
  })
  return data ? data.id === `c-${unique}` : error
})
await check('binary', async () => {
  const header = {
    'ce-specversion': '1.0' as const, 'ce-id': `b-${unique}`, 'ce-source': '/generated', 'ce-type': type, 'ce-tenant': tenant,
    'ce-users': '["Smith, John"]',
  }
  const { data, error } = await client.POST('/v1/binary-cloudevents', {
    params: { header },
    headers: { 'Content-Type': 'text/plain' },
    body: 'data',
    bodySerializer: (body) => body,
  })
  return data ? data.id === `b-${unique}` : error
})
await check('list', async () => {
  const { data, error } = await client.GET('/v1/events', { params: { query: { tenant, type, limit: 10 } } })
  return data ? data.events.length === 5 && data.events.every((row) => row.event.type === type) : error
})
