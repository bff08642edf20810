// What is left of a million events in the memory of a page that stays open?

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test } from 'vitest'
import { until } from '../../testing/stack.js'
import { createClient } from '../src/index.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** A WebSocket that brings what it is told to. */
class Wire extends EventTarget {
  static last: Wire | undefined
  hasSent = false
  readyState = 1
  onopen: (() => void) | null = null
  onmessage: ((message: { data: string }) => void) | null = null
  onclose: (() => void) | null = null
  constructor() {
    super()
    Wire.last = this
    queueMicrotask(() => this.onopen?.())
  }
  send() {
    this.hasSent = true
  }
  close() {}
  brings(frame: object) {
    this.onmessage?.({ data: JSON.stringify(frame) })
  }
}

test('a million events, with handlers that answer later, leave nothing behind', async () => {
  const client = createClient({ url: 'https://example.com', getToken: () => 'a.e30.b', WebSocket: Wire as never })
  let heard = 0
  client.on('order.*', () => {
    heard++
  })
  client.on('*', async () => {})
  await until('it has asked to be let in', () => Wire.last?.hasSent === true)
  const wire = Wire.last!
  const limits = { frames_per_second: 50 }
  wire.brings({
    type: 'welcome',
    connection: 'g-1',
    tenant: 't',
    user: 'anna',
    roles: [],
    channels: ['tenant'],
    seq: 0,
    epoch: 'e',
    heartbeat_ms: 25_000,
    limits,
  })
  let seq = 0
  const bring = async (n: number) => {
    for (let i = 0; i < n; i++) {
      const event = {
        specversion: '1.0',
        id: `id-${++seq}`,
        source: 'api',
        type: 'order.paid',
        time: '2026-11-29T20:00:00Z',
        data: { n: seq, text: 'x'.repeat(200) },
      }
      wire.brings({ type: 'event', seq, channels: ['tenant'], event })
      // As in a page: what was promised is done between two messages.
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await new Promise((resolve) => setImmediate(resolve))
    collect()
    return process.memoryUsage().heapUsed
  }
  const before = await bring(20_000)
  const after = await bring(1_000_000)
  expect(heard).toBe(1_020_000)
  expect(client.position).toEqual({ seq: 1_020_000, epoch: 'e' })
  const more = (after - before) / 1024
  console.log(`memory: ${Math.round(more)} KiB more after a million events`)
  expect(more).toBeLessThan(1024)
  client.close()
}, 600_000)
