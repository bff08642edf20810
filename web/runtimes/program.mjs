// What a program in any runtime does with the libraries, one JSON text a line for whoever looks: run by runtimes.test.ts.
//
// Only what Node, Bun, Deno and Workers have in common is used here. Its argument says what it does, and where.

import { createClient } from '../client/dist/index.js'
import { token } from '../server/dist/index.js'
import { serve } from './serve.mjs'

const say = (what) => console.log(JSON.stringify(what))

/** One client, until it has `count` events: it says when it is there, and which numbers came. */
async function listen({ url, secret, tenant, count, transport }, claims) {
  const numbers = []
  const resyncs = []
  const getToken = () => token({ secret, user: 'anna', tenant, channels: ['order:*'], expiresIn: 3600, ...claims })
  class NoWebSocket {
    constructor() {
      throw new Error('none passes here')
    }
  }
  const client = createClient({ url, getToken, ...(transport !== 'websocket' && { WebSocket: NoWebSocket }) })
  client.onResync((resync) => resyncs.push(resync))
  const channel = client.channel('order:1')
  const all = new Promise((resolve) => {
    channel.on('order.*', (event) => {
      numbers.push(event.data.n)
      if (numbers.length >= count) resolve()
    })
  })
  await channel.ready()
  const { transport: by, connection } = client.state
  say({ ready: by, connection })
  await all
  const sent = await channel.publish('order.seen', { n: count + 1 })
  const { events } = await channel.history({ limit: 3, type: 'order.*' })
  const summary = await client.inbox.page()
  client.close()
  say({
    numbers: numbers.slice(0, count),
    resyncs,
    seq: sent.seq,
    history: events.map(({ data }) => data.n),
    notices: summary.items.length,
  })
}

const given = JSON.parse((globalThis.process?.argv ?? ['', '', ...Deno.args])[2])
await (given.does === 'listen' ? listen(given) : serve(given).then(say))
