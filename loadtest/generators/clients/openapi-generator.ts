// Can openapi-generator's typescript-fetch client publish and list?
import { check, key, tenant, unique, url } from './expect.ts'
import { Configuration, EventsApi } from './openapi-generator-typescript/index.ts'

const type = `generated.${unique}`
const api = new EventsApi(new Configuration({ basePath: url, accessToken: key }))

await check('publish', async () => {
  const receipt = await api.publishEvent({ plainEvent: { type, tenant, users: ['42'], data: { n: 1 } }, idempotencyKey: unique })
  return receipt.seq
})
await check('batch', async () => {
  const events = [{ type, tenant, channels: ['contact:1'] }, { type, tenant, tenantWide: true, priority: 'high' as const }]
  return (await api.publishEventBatch({ plainEvent: events })).length === 2
})
await check('CloudEvent', async () => {
  const event = { specversion: '1.0' as const, id: `c-${unique}`, source: '/generated', type, tenant, channels: ['contact:1'] }
  return (await api.publishCloudEvent({ cloudEvent: event })).id === event.id
})
await check('binary', async () => {
  const receipt = await api.publishBinaryCloudEvent({
    ceSpecversion: '1.0', ceId: `b-${unique}`, ceSource: '/generated', ceType: type, ceTenant: tenant, ceUsers: '["Smith, John"]',
    body: new Blob(['data']),
  })
  return receipt.id === `b-${unique}`
})
await check('list', async () => {
  const { events } = await api.listEvents({ tenant, type, limit: 10 })
  return events.length === 5 && events.every((row) => row.event.type === type)
})
