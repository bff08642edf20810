// Do clients hear every event while Redis is away, and go on when it is back?

import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Stack, startStack, until } from '../../testing/stack.js'
import type { Resync } from '../src/index.js'
import { Checker, Installation, state } from './installation.js'

let stack: Stack
let at: Installation

beforeAll(async () => {
  stack = await startStack('--gateways', '2')
  at = new Installation(stack, 'redis')
})
afterAll(async () => {
  at?.close()
  await stack?.down()
})

test('Redis is killed and comes back while clients are connected: their connections stay, none is lost, none comes twice', async () => {
  await at.rest('PUT', `/v1/channel-rules/order:*?tenant=${at.tenant}`, { subscribe: ['anyone'], presence: ['anyone'] })
  class Blocked {
    constructor() {
      throw new TypeError('no WebSocket passes here')
    }
  }
  const resyncs: Resync[] = []
  const join = async (options: object) => {
    const [client, checker] = [at.client(options), new Checker()]
    client.onResync((resync) => resyncs.push(resync))
    client.channel('order:1').on('*', checker.handle)
    await state(client, 'open', 25_000)
    await client.channel('order:1').ready()
    return { client, checker }
  }
  const early = [await join({}), await join({ WebSocket: Blocked }), await join({ device: 'phone' })]
  const connections = early.map(({ client }) => (client.state as { connection: string }).connection)
  const { presence } = early[0]!.client.channel('order:1')
  presence.on(() => {})
  await until('who is here', () => presence.snapshot.count === 1 && !presence.snapshot.stale)
  await at.publish(50)
  for (const { checker } of early) await checker.has(50)

  const stop = at.publishing()
  const startRedis = stack.killRedis()
  const before = at.sent
  await until('events are published without Redis', () => at.sent >= before + 200)
  for (const { checker } of early) await checker.has(before + 200)
  // One that comes now resumes and hears as the others do.
  early[2]!.client.close()
  const away = at.sent
  await until('some are missed', () => at.sent >= away + 40)
  early[2]!.client.connect()
  await early[2]!.checker.has(away + 40)
  connections[2] = (early[2]!.client.state as { connection: string }).connection

  startRedis()
  // Nobody was told that people went; who comes now is seen.
  expect(presence.snapshot.count).toBe(1)
  const mila = at.client({ getToken: () => at.token({ sub: 'mila' }) })
  mila.channel('order:1').presence.on(() => {})
  await until('who comes is seen', () => presence.snapshot.members.some(({ user }) => user === 'mila'), 45_000)
  expect(presence.snapshot.count).toBe(2)
  const back = at.sent
  await until('events are published with Redis', () => at.sent >= back + 200)
  const all = (await stop()) as number
  for (const { checker } of early) {
    await checker.has(all)
    checker.whole(1, all)
  }
  expect(resyncs).toEqual([])
  expect(early.map(({ client }) => (client.state as { connection: string }).connection)).toEqual(connections)
}, 120_000)
