// Is a notice written, checked, sent, followed to whoever has not taken note, and taken back on its page?

import { token } from '@carillon/server'
import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

export function notices(given: Given) {
  test('a notice is written and sent, tells who has not taken note, and is taken back', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/notices?tenant=notices-page')
    const { page } = there
    await page.getByText('No notice has been sent yet').waitFor()
    await page.getByRole('button', { name: 'Write a notice' }).click()
    await page.getByLabel('Title').fill('x'.repeat(300))
    await page.getByLabel('A click leads to').fill('javascript:alert(1)')
    await page.getByLabel('People', { exact: true }).fill('mila, noor')
    await page.getByRole('button', { name: 'Check and preview' }).click()
    await page.locator('.fault').nth(1).waitFor()
    expect(await page.getByLabel('Title').getAttribute('aria-invalid')).toBe('true')
    expect(await page.getByLabel('A click leads to').getAttribute('aria-invalid')).toBe('true')
    await lookAt(there, 'notices-faults')
    await page.getByLabel('Title').fill('Fire drill at ten')
    await page.getByLabel('Body', { exact: true }).fill('Meet at the gate.\nLeave <b>everything</b>.')
    await page.getByLabel('A click leads to').fill('/drill')
    await page.getByLabel('People are asked').check()
    await page.getByRole('button', { name: 'Add a step' }).click()
    await page.getByLabel('After (step 1)').fill('1h')
    await page.getByLabel('To the webhook').fill('push')
    await page.getByRole('button', { name: 'Check and preview' }).click()
    const review = page.getByRole('region', { name: 'What would be sent' })
    await review.getByText('Leave <b>everything</b>.').waitFor()
    await review.getByText('as far as they are known').waitFor()
    await lookAt(there, 'notices-review')
    await page.getByRole('button', { name: 'Send to 2 people' }).click()
    await page.getByText('2 have not taken note').waitFor()
    const id = new URL(page.url()).searchParams.get('notice')!

    const mila = await token({ secret: stack.jwt_secret, user: 'mila', tenant: 'notices-page' })
    const event = (await (
      await fetch(`${stack.lb}/v1/notices/${id}?tenant=notices-page`, { headers: { authorization: `Bearer ${stack.api_key}` } })
    ).json()) as { seq: number }
    const acked = await fetch(`${stack.lb}/v1/inbox/${event.seq}/ack`, {
      method: 'POST',
      headers: { authorization: `Bearer ${mila}`, 'content-type': 'application/json' },
      body: '{}',
    })
    expect(acked.status, await acked.text()).toBe(200)
    await page.getByText('1 have not taken note').or(page.getByText('1 has not taken note')).waitFor({ timeout: 15_000 })
    const people = page.getByRole('table', { name: 'People' })
    await people.getByText('noor').waitFor()
    await people.getByText('mila').waitFor({ state: 'detached' })
    await page.getByLabel('Who', { exact: true }).selectOption('acked')
    await people.getByText('mila').waitFor()
    await page.getByRole('button', { name: 'Read again' }).click()
    await page.getByRole('list', { name: 'Notices' }).getByText('1 of 2 taken note').waitFor()
    await lookAt(there, 'notices')
    await page.getByRole('button', { name: 'Take back…' }).click()
    await page.getByRole('button', { name: 'Take it back' }).click()
    await page.getByText('It is taken back: it is in no inbox any more.').waitFor()
    await page.getByRole('button', { name: 'Take back…' }).waitFor({ state: 'detached' })
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('who may only read sees notices and sends none', async () => {
    const { browser, stack } = given
    const post = (path: string, body: unknown) =>
      fetch(`${stack.lb}${path}?tenant=notices-seen`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.api_key}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    expect((await post('/v1/notices', { title: 'The lift is out of order', audience: { users: ['mila'] } })).status).toBe(201)
    const long = { title: `Long${'x'.repeat(240)}`, body: 'y'.repeat(4_000), audience: { tenant: true, roles: ['z'.repeat(60)] } }
    expect((await post('/v1/notices', long)).status).toBe(201)
    const key = await post('/v1/api-keys', { name: 'looks only', scopes: ['read'] })
    const made = (await key.json()) as { key: string }
    expect(key.status, JSON.stringify(made)).toBe(201)
    const there = await visit(browser, stack, '/notices', made.key)
    await there.page.getByRole('list', { name: 'Notices' }).getByText('The lift is out of order').click()
    await there.page.getByRole('heading', { name: 'The lift is out of order' }).waitFor()
    expect(await there.page.getByRole('button', { name: 'Write a notice' }).isDisabled()).toBe(true)
    await there.page.getByRole('list', { name: 'Notices' }).getByText('Longx').click()
    await there.page.getByText('everybody of the tenant').waitFor()
    await lookAt(there, 'notices-long')
    expect(there.faults).toEqual([])
    await there.close()
  })
}
