// What does a page show whose requests fail: the log away, too much asked, no right to see it? And does it come back?

import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

const pages = ['/inspect', '/analytics', '/tenants', '/keys', '/audit', '/notices', '/types', '/rules', '/webhooks']

export function troubles(given: Given) {
  for (const path of pages)
    test(`${path} says why it has no answer, and shows it when there is one`, async () => {
      const { browser, stack } = given
      const there = await visit(browser, stack, '/?tenant=troubles')
      const { page } = there
      const fail = (code: string, status: number) =>
        page.route(/\/v1\/(?!console)/, (route) =>
          route.fulfill({
            status,
            contentType: 'application/problem+json',
            body: JSON.stringify({ code, status, detail: 'as the test says', request_id: 'r-1' }),
          }),
        )
      await fail('unavailable', 503)
      await page.getByRole('navigation').locator(`a[href*="/console${path}?"]`).click()
      const trouble = page.locator('.trouble[data-code="unavailable"]').first()
      await trouble.waitFor()
      await trouble.getByText('The log cannot be read now').waitFor()
      await lookAt(there, `trouble${path.replace('/', '-')}`)
      await page.unroute(/\/v1\/(?!console)/)
      // One is asked again by hand, the others by themselves.
      await trouble.getByRole('button', { name: 'Try again' }).click()
      await page.locator('.trouble').first().waitFor({ state: 'detached', timeout: 15_000 })
      expect(there.faults).toEqual([])
      await there.close()
    })
}
