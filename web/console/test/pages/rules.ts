// Are channel rules made, tried, corrected and deleted on their page?

import { token } from '@carillon/server'
import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

export function rules(given: Given) {
  test('a rule is made, a fault stands at its field, and trying says what it allows and why', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/rules?tenant=rules-page')
    const { page } = there
    await page.getByText('There are no rules yet').waitFor()
    await page.getByRole('button', { name: 'New rule' }).click()
    await page.getByLabel('Pattern').fill('order:{order}')
    await page.getByLabel('Who may get its events', { exact: true }).fill('role:desk, anybody')
    await page.getByLabel('Events a person may send').fill('5000')
    await page.getByRole('button', { name: 'Create the rule' }).click()
    await page.getByText(/^entry 2: /).waitFor()
    expect(await page.getByLabel('Who may get its events', { exact: true }).getAttribute('aria-invalid')).toBe('true')
    expect(await page.getByLabel('Events a person may send').getAttribute('aria-invalid')).toBe('true')
    await lookAt(there, 'rules-faults')
    await page.getByLabel('Who may get its events', { exact: true }).fill('role:desk, ask')
    await page.getByLabel('Who may publish events').fill('role:desk')
    await page.getByLabel('Events a person may send').fill('20')
    await page.getByLabel('Durable').check()
    await page.getByRole('button', { name: 'Create the rule' }).click()
    await page.getByRole('list', { name: 'Rules' }).getByText('order:{order}').waitFor()
    const form = page.getByRole('form', { name: 'Try the rules' })
    await form.getByLabel('User').fill('mila')
    await form.getByLabel('Roles').fill('desk')
    await form.getByLabel('Channel').fill('order:17')
    await form.getByRole('button', { name: 'Try' }).click()
    await form.getByText('In order:17 mila may get its events as they happen, publish events, and read its past.').waitFor()
    await form.getByText('the rule says role:desk').first().waitFor()
    expect(await form.locator('[data-verdict=no]').count()).toBe(2)
    await lookAt(there, 'rules')
    await page.getByLabel('Who may publish events').fill('')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved. It holds').waitFor()
    // What was tried is tried again by the rule as it is now: in force a second after it was set, at most.
    await expect
      .poll(async () => {
        await form.getByRole('button', { name: 'Try' }).click()
        return form.locator('[data-verdict=no]').count()
      })
      .toBe(3)
    await page.getByRole('button', { name: 'Delete…' }).click()
    await page.getByRole('button', { name: 'Delete the rule' }).click()
    await page.getByText('There are no rules yet').waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('credentials that may not see rules are told so', async () => {
    const { browser, stack } = given
    const key = await token({ secret: stack.jwt_secret, user: 'ada', tenant: 'rules-page', caps: ['admin'] })
    const there = await visit(browser, stack, '/rules', key)
    await there.page.route('**/v1/channel-rules?**', (route) =>
      route.fulfill({
        status: 403,
        contentType: 'application/problem+json',
        body: JSON.stringify({ code: 'missing_scope', detail: 'channel rules need the scope admin', status: 403 }),
      }),
    )
    await there.page.reload()
    await there.page.getByLabel('API key or user token').fill(key)
    await there.page.getByRole('button', { name: 'Sign in' }).click()
    await there.page.getByText('These credentials may not do this').waitFor()
    await there.close()
  })
}
