// Can orval's fetch client publish and list?
import { check, key, tenant, unique } from './expect.ts'
import { listEvents, publishBinaryCloudEvent, publishCloudEvent, publishEvent, publishEventBatch } from './orval/client.ts'

const type = `generated.${unique}`
const as = { headers: { Authorization: `Bearer ${key}` } }
const once = { headers: { ...as.headers, 'Idempotency-Key': unique } }

await check('publish', async () => {
  const answer = await publishEvent({ type, tenant, users: ['42'], data: { n: 1 } }, undefined, once)
  return answer.status === 201 ? answer.data.seq : answer.data
})
await check('batch', async () => {
  const events = [{ type, tenant, channels: ['contact:1'] }, { type, tenant, tenant_wide: true, priority: 'high' as const }]
  const answer = await publishEventBatch(events, undefined, as)
  return answer.status === 201 ? answer.data.length === 2 : answer.data
})
await check('CloudEvent', async () => {
  const event = { specversion: '1.0' as const, id: `c-${unique}`, source: '/generated', type, tenant, channels: ['contact:1'] }
  const answer = await publishCloudEvent(event, undefined, as)
  return answer.status === 201 ? answer.data.id === event.id : answer.data
})
await check('binary', async () => {
  const headers = {
    ...as.headers, 'ce-specversion': '1.0', 'ce-id': `b-${unique}`, 'ce-source': '/generated', 'ce-type': type, 'ce-tenant': tenant,
    'ce-users': '["Smith, John"]',
  }
  const answer = await publishBinaryCloudEvent(new Blob(['data']), undefined, { headers })
  return answer.status === 201 ? answer.data.id === `b-${unique}` : answer.data
})
await check('list', async () => {
  const answer = await listEvents({ tenant, type, limit: 10 }, as)
  if (answer.status !== 200) return answer.data
  return answer.data.events.length === 5 && answer.data.events.every((row) => row.event.type === type)
})
