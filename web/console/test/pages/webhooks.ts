// Is a webhook made, tested, seen to fail, sent again, replayed, rotated and deleted on its page?

import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { verifyWebhook } from '@carillon/server'
import { expect, test } from 'vitest'
import { until } from '../../../testing/stack.js'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

/** An endpoint that answers as it is told, and remembers what it got. */
async function receiver() {
  const got: { body: string; headers: Record<string, string> }[] = []
  const it = { status: 204, got, url: '', close: () => void server.close() }
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const piece of request.setEncoding('utf8')) body += piece
    got.push({ body, headers: request.headers as Record<string, string> })
    response.writeHead(it.status).end(it.status === 204 ? undefined : 'the ledger is locked')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  it.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`
  return it
}

export function webhooks(given: Given) {
  test('the whole life of a webhook on its page', async () => {
    const { browser, stack } = given
    const endpoint = await receiver()
    const publish = async (id: string) => {
      const answer = await fetch(`${stack.lb}/v1/events?tenant=hooks`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.api_key}`, 'content-type': 'application/json' },
        body: JSON.stringify({ id, type: 'order.paid', channels: ['order:17'], data: { total: 12 } }),
      })
      expect(answer.status).toBe(201)
    }
    const there = await visit(browser, stack, '/webhooks?tenant=hooks')
    const { page } = there
    await page.getByText('There are no webhooks yet').waitFor()
    await page.getByRole('button', { name: 'New webhook' }).click()
    await page.getByLabel('Name').fill('billing')
    await page.getByLabel('URL').fill('ftp://nowhere')
    await page.getByLabel('Types').fill('order.*')
    await page.getByRole('button', { name: 'Create the webhook' }).click()
    await page.locator('.fault').waitFor()
    expect(await page.getByLabel('URL').getAttribute('aria-invalid')).toBe('true')
    await page.getByLabel('URL').fill(endpoint.url)
    await page.getByRole('button', { name: 'Create the webhook' }).click()
    const secret = await page.getByRole('region', { name: 'The new secret' }).locator('code').textContent()
    expect(secret).toMatch(/^whsec_/)
    await lookAt(there, 'webhooks-secret')
    await page.getByRole('button', { name: 'I have stored it' }).click()
    expect(await page.content()).not.toContain(secret!)

    await page.getByRole('button', { name: 'Send a test' }).click()
    await page.getByText('The endpoint took it: 204').waitFor()
    const { body, headers } = endpoint.got[0]!
    expect((await verifyWebhook(body, headers, { secret: secret! })).body.type).toBe('carillon.webhook.test')

    endpoint.status = 500
    await publish('paid-1')
    await page.getByText('No delivery has failed').waitFor({ state: 'detached', timeout: 20_000 })
    const failed = page.getByRole('list', { name: 'Failed deliveries' })
    await failed.getByText('retrying').waitFor()
    await failed.locator('summary').first().click()
    await failed.getByText('the ledger is locked').waitFor()
    await lookAt(there, 'webhooks')
    // Another delivery that fails makes the list be asked for again: whoever reads an answer goes on reading.
    await page.route('**/v1/webhooks?**', async (route) => {
      const response = await route.fetch()
      const [hook] = (await response.json()).webhooks
      await route.fulfill({ response, json: { webhooks: [{ ...hook, retrying: hook.retrying + 1 }] } })
    })
    const retrying = page.getByLabel('Deliveries', { exact: true }).getByText('2', { exact: true })
    await retrying.waitFor()
    expect(await failed.getByText('the ledger is locked').isVisible()).toBe(true)
    await page.unroute('**/v1/webhooks?**')
    await retrying.waitFor({ state: 'detached' })
    // It works again when it is asked by hand: before, it would be sent by itself, and with it the button would be gone.
    await page.route('**/retry?**', (route) => {
      endpoint.status = 204
      return route.fallback()
    })
    await failed.getByRole('button', { name: /^Send again/ }).click()
    await page.getByText('No delivery has failed').waitFor({ timeout: 20_000 })

    const before = endpoint.got.length
    await page.getByRole('button', { name: 'Replay…' }).click()
    await page.getByLabel('From event number').fill('1')
    await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click()
    await until('it is sent again', () => endpoint.got.length > before)
    await page.getByRole('button', { name: 'Rotate the secret…' }).click()
    await page.getByRole('button', { name: 'Rotate', exact: true }).click()
    expect(await page.getByRole('region', { name: 'The new secret' }).locator('code').textContent()).not.toBe(secret)
    await page.getByRole('button', { name: 'I have stored it' }).click()
    await page.getByRole('button', { name: 'Disable' }).click()
    await page.getByText('Nothing is sent. An administrator disabled it.').waitFor()
    await page.getByRole('button', { name: 'Enable' }).click()
    await page.getByText('It is enabled, and goes on where it was.').waitFor()
    await page.getByRole('button', { name: 'Delete…' }).click()
    await page.getByRole('button', { name: 'Delete the webhook' }).click()
    await page.getByText('There are no webhooks yet').waitFor()
    expect(there.faults).toEqual([])
    await there.close()
    endpoint.close()
  })
}
