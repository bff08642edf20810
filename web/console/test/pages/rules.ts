// Are channel rules made, tried, corrected and deleted on their page?

import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { hold, lookAt, visit } from '../visit.js'

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
    expect(await form.locator('[data-verdict]').count()).toBe(5)
    expect(await form.locator('[data-verdict=no]').count()).toBe(2)
    await lookAt(there, 'rules')
    await page.getByLabel('Who may publish events').fill('')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Saved. It holds').waitFor()
    // What was tried is tried again by the rule as it is now: in force a second after it was set, at most.
    await form.locator('[data-verdict=no]').nth(2).waitFor()
    await page.getByRole('button', { name: 'Delete…' }).click()
    await page.getByRole('button', { name: 'Delete the rule' }).click()
    await page.getByText('There are no rules yet').waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('who may only read is told that rules, types, webhooks and preferences are for administrators', async () => {
    const { browser, stack } = given
    const made = await fetch(`${stack.lb}/v1/api-keys?tenant=rules-page`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.api_key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'looks only', scopes: ['read'] }),
    })
    const there = await visit(browser, stack, '/rules', ((await made.json()) as { key: string }).key)
    const { page } = there
    await page.getByText('Channel rules are for administrators').waitFor()
    await lookAt(there, 'rules-read-only')
    for (const [link, what] of [
      ['Event types', 'Event types'],
      ['Webhooks', 'Webhooks'],
      ['Preferences tester', 'Preferences'],
    ] as const) {
      await page.getByRole('link', { name: link }).click()
      await page.getByText(`${what} are for administrators`).waitFor()
    }
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('the keyboard alone makes a rule; when the API is away, what was known stays, with a way on', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/rules?tenant=rules-keys')
    const { page } = there
    await page.getByText('There are no rules yet').waitFor()
    await page.getByRole('button', { name: 'New rule' }).focus()
    await page.keyboard.press('Enter')
    await page.getByLabel('Pattern').focus()
    await page.keyboard.type('branch:*')
    await page.keyboard.press('Enter')
    await page.getByRole('list', { name: 'Rules' }).getByText('branch:*').waitFor()
    let isAway = true
    const rules = '**/v1/channel-rules?**'
    await page.route(rules, (route) => (isAway ? route.abort() : route.fallback()))
    await page.getByRole('button', { name: 'Save' }).focus()
    await page.keyboard.press('Enter')
    await page.getByText('The API does not answer').first().waitFor()
    await page.getByRole('list', { name: 'Rules' }).getByText('branch:*').waitFor()
    await lookAt(there, 'rules-away')
    // It is asked again by itself, too. While an answer waits, the way on stands there: so it is pressed before one comes.
    const release = await hold(page, rules)
    isAway = false
    await page.getByRole('button', { name: 'Try again' }).click()
    release()
    await page.getByText('The API does not answer').waitFor({ state: 'detached' })
    expect(there.faults).toEqual([])
    await there.close()
  })
}
