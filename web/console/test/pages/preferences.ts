// Does the tester say in words why somebody gets something, and why not?

import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

export function preferences(given: Given) {
  test('says by which means mila gets order.paid, what holds it at night, and what is refused', async () => {
    const { browser, stack } = given
    const put = async (path: string, body: unknown) => {
      const answer = await fetch(`${stack.lb}${path}`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${stack.api_key}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
      expect(answer.status, await answer.text()).toBe(200)
    }
    await put('/v1/preferences?tenant=tester&user=mila', {
      types: { 'order.*': { desktop: false } },
      quiet_hours: {
        zone: 'Europe/Berlin',
        ranges: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'], from: '22:00', to: '07:00' }],
      },
      locale: 'de',
    })
    await put('/v1/event-types/order.paid?tenant=tester', { title: 'Paid', defaults: { toast: true } })
    const there = await visit(browser, stack, '/preferences?tenant=tester', undefined, { timezoneId: 'Europe/Berlin' })
    const { page } = there
    await page.getByText('Ask about a person and a type').waitFor()
    await lookAt(there, 'preferences-empty')
    await page.getByLabel('User').fill('mila')
    await page.getByLabel('Type of event').fill('order.paid')
    await page.getByLabel('When').fill('2027-01-14T23:30')
    await page.keyboard.press('Enter')
    await page
      .getByText('mila would get order.paid at 2027-01-14 23:30 (Europe/Berlin): in the inbox. Quiet hours hold it as a toast')
      .waitFor()
    expect(await page.locator('[data-verdict=depends]').count()).toBe(2)
    await page.getByText('every day, 22:00–07:00 (Europe/Berlin)').waitFor()
    await lookAt(there, 'preferences')
    await page.getByLabel('When').fill('2027-01-14T12:00')
    await page.getByRole('button', { name: 'Ask' }).click()
    await page.getByText('in the inbox, as a toast on the page, and by webhooks. It is switched off on the desktop.').waitFor()
    expect(new URL(page.url()).searchParams.get('at')).toBe('2027-01-14T11:00:00.000Z')
    await page.getByLabel('User').fill('x'.repeat(300))
    await page.getByRole('button', { name: 'Ask' }).click()
    await page.locator('.fault').waitFor()
    expect(await page.getByLabel('User').getAttribute('aria-invalid')).toBe('true')
    expect(there.faults).toEqual([])
    await there.close()
  })
}
