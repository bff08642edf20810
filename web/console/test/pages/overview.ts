// Does the overview show how it is now?

import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

export function overview(given: Given) {
  test('shows connections, rates, health and gateways of the installation', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/')
    const { page } = there
    const gateways = page.getByRole('table', { name: 'Gateways' })
    await gateways.getByText('gateway-1').waitFor({ timeout: 15_000 })
    await gateways.getByText('gateway-2').waitFor()
    await page.getByText('takes events').waitFor()
    await page.locator('canvas').first().waitFor()
    await lookAt(there, 'overview')
    expect(there.faults).toEqual([])
    await there.close()
  })
}
