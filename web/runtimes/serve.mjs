// What a back end does in any runtime; a Worker has it, too.

import { Carillon, verifyWebhook } from '../server/dist/index.js'

/** What a back end does: publish twice what is one event, and verify a webhook. */
export async function serve({ publisher, apiKey, tenant, webhook }) {
  const carillon = new Carillon({ url: publisher, apiKey, tenant })
  const once = () => carillon.publish({ type: 'invoice.paid', roles: ['owner'], id: `invoice-${tenant}`, data: {} })
  const [one, other] = [await once(), await once()]
  const { body } = await verifyWebhook(new TextEncoder().encode(webhook.body), webhook.headers, { secret: webhook.secret })
  const wrong = await verifyWebhook(new TextEncoder().encode(`${webhook.body} `), webhook.headers, {
    secret: webhook.secret,
  }).then(
    () => 'taken',
    ({ code }) => code,
  )
  return { same: one.seq === other.seq, type: body.type, wrong }
}
