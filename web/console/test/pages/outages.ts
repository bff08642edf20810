// What does the console show while Redis is away, how soon can it be used, and how much does the overview ask for?

import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { lookAt, signIn, visit } from '../visit.js'

export function outages(given: Given) {
  test('the overview can be used soon, and costs few bytes a second', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/', null)
    await signIn(there.page, stack.api_key)
    await there.page.getByText('takes events').waitFor()
    await there.page.reload()
    await there.page.getByLabel('API key or user token').waitFor()
    const ready = await there.page.evaluate(() => performance.now())
    await signIn(there.page, stack.api_key)
    await there.page.getByText('takes events').waitFor()
    await there.page.locator('canvas').first().waitFor()
    // What comes over the network, of requests and of the socket, with the headers.
    const session = await there.context.newCDPSession(there.page)
    let bytes = 0
    session.on('Network.loadingFinished', ({ encodedDataLength }) => {
      bytes += encodedDataLength
    })
    session.on('Network.webSocketFrameReceived', ({ response }) => {
      bytes += response.payloadData.length
    })
    await session.send('Network.enable')
    const seconds = 8
    await there.page.waitForTimeout(seconds * 1000)
    const rate = bytes / 1024 / seconds
    console.log(
      `console: the sign-in stands ${Math.round(ready)} ms after the page was asked for; the overview gets ${rate.toFixed(2)} KiB a second`,
    )
    expect(bytes).toBeGreaterThan(0)
    expect(rate).toBeLessThan(5)
    await there.close()
  })

  test('Redis away: it is said, what was known stays, events are published, and it comes back by itself', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/')
    const { page } = there
    await page.getByText('carries events to the gateways').waitFor()
    const tail = await visit(browser, stack, '/tail?tenant=outages')
    await tail.page.getByText('Connected', { exact: true }).waitFor()
    const start = stack.killRedis()
    try {
      await page.getByText('Redis is away').first().waitFor({ timeout: 30_000 })
      await page.getByRole('table', { name: 'Gateways' }).getByText('gateway-1').waitFor()
      await lookAt(there, 'redis-away')
      const sent = await rest(stack, 'POST', '/v1/events', { tenant: 'outages', type: 'without.redis', channel: 'kept' })
      expect(sent.status).toBe(201)
      await tail.page.getByRole('listbox').getByText('without.redis').waitFor({ timeout: 15_000 })
    } finally {
      start()
    }
    await page.getByText('Redis is away').first().waitFor({ state: 'detached', timeout: 45_000 })
    await page.getByText('carries events to the gateways').waitFor({ timeout: 30_000 })
    expect([...there.faults, ...tail.faults]).toEqual([])
    await there.close()
    await tail.close()
  }, 120_000)
}
