// What does a page show whose requests fail: the log away, too much asked, no right to see it? And does it come back?

import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { hold, lookAt, visit } from '../visit.js'

const pages = ['/inspect', '/analytics', '/tenants', '/keys', '/audit', '/notices', '/types', '/rules', '/webhooks']

export function troubles(given: Given) {
  for (const path of pages)
    test(`${path} says why it has no answer, and shows it when there is one`, async () => {
      const { browser, stack } = given
      const there = await visit(browser, stack, '/?tenant=troubles')
      const { page } = there
      const api = /\/v1\/(?!console)/
      let isAway = true
      await page.route(api, (route) => {
        if (!isAway) return route.fallback()
        const problem = { code: 'unavailable', status: 503, detail: 'as the test says', request_id: 'r-1' }
        return route.fulfill({ status: 503, contentType: 'application/problem+json', body: JSON.stringify(problem) })
      })
      await page.getByRole('navigation').locator(`a[href*="/console${path}?"]`).click()
      const trouble = page.locator('.trouble[data-code="unavailable"]').first()
      await trouble.waitFor()
      await trouble.getByText('The log cannot be read now').waitFor()
      await lookAt(there, `trouble${path.replace('/', '-')}`)
      // One is asked again by hand, the others by themselves: all wait meanwhile, or the button might be gone before it is pressed.
      const release = await hold(page, api)
      isAway = false
      await trouble.getByRole('button', { name: 'Try again' }).click()
      release()
      await page.locator('.trouble').first().waitFor({ state: 'detached', timeout: 15_000 })
      expect(there.faults).toEqual([])
      await there.close()
    })
}
