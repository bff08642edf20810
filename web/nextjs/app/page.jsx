// Rendered on the server for each request: the rows, and where the log stood when they were read.

import { Carillon, token } from '@carillon/server'
import { Branch } from './branch'

export const dynamic = 'force-dynamic'

const { CARILLON_URL: url, CARILLON_API_KEY: apiKey, CARILLON_JWT_SECRET: secret } = process.env

export default async function Page({ searchParams }) {
  const { tenant } = await searchParams
  const carillon = new Carillon({ url, apiKey, tenant })
  // First the position, then the rows: what comes in between is told again, and changes nothing.
  const { epoch, seq } = await carillon.position()
  const answer = await fetch(`${url}/v1/latest?tenant=${tenant}&channel=branch:1&limit=200`, {
    headers: { authorization: `Bearer ${apiKey}` },
    cache: 'no-store',
  })
  const { events } = await answer.json()
  const initial = { value: events.map(({ event }) => event.data), position: `${epoch}:${seq}` }
  const mine = await token({ secret, user: 'mila', tenant, channels: ['branch:*'], expiresIn: 900 })
  return <Branch url={url} tenant={tenant} token={mine} initial={initial} />
}
