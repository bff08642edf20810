// Can a client of hey-api publish and list?
import { check, key, tenant, unique, url } from './expect.ts'
import { client } from './hey-api/client.gen.ts'
import { listEvents, publishBinaryCloudEvent, publishCloudEvent, publishEvent, publishEventBatch } from './hey-api/sdk.gen.ts'

const type = `generated.${unique}`
client.setConfig({ baseUrl: url, auth: (scheme) => (scheme.type === 'http' ? key : undefined) })

await check('publish', async () => {
  const { data, error } = await publishEvent({
    headers: { 'Idempotency-Key': unique },
    body: { type, tenant, users: ['42'], data: { n: 1 } },
  })
  return data ? Number(data.seq) : error
})
await check('batch', async () => {
  const { data, error } = await publishEventBatch({
    body: [{ type, tenant, channels: ['contact:1'] }, { type, tenant, tenant_wide: true, priority: 'high' }],
  })
  return data ? data.length === 2 : error
})
await check('CloudEvent', async () => {
  const event = { specversion: '1.0' as const, id: `c-${unique}`, source: '/generated', type, tenant, channels: ['contact:1'] }
  const { data, error } = await publishCloudEvent({ body: event })
  return data ? data.id === event.id : error
})
await check('binary', async () => {
  const headers = {
    'ce-specversion': '1.0' as const, 'ce-id': `b-${unique}`, 'ce-source': '/generated', 'ce-type': type, 'ce-tenant': tenant,
    'ce-users': '["Smith, John"]',
  }
  const { data, error } = await publishBinaryCloudEvent({ headers, body: new Blob(['data']) })
  return data ? data.id === `b-${unique}` : error
})
await check('list', async () => {
  const { data, error } = await listEvents({ query: { tenant, type, limit: 10 } })
  return data ? data.events.length === 5 && data.events.every((row) => row.event.type === type) : error
})
