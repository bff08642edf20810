// Can keys be made, replaced and ended, and is each shown once?

import { expect, test } from 'vitest'
import { until } from '../../../testing/stack.js'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { lookAt, signIn, visit } from '../visit.js'

export function keys(given: Given) {
  const status = async (key: string) => (await rest(given.stack, 'GET', '/v1/events?tenant=keys', undefined, key)).status

  test('makes a key that is shown once, replaces it with an overlap, and ends it', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/keys?tenant=keys')
    const { page } = there
    await page.getByText('There is no API key for keys').waitFor()

    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByLabel('Name').fill('shop')
    await page.getByRole('checkbox', { name: /^read/ }).check()
    await lookAt(there, 'keys-new')
    await page.getByRole('button', { name: 'Make the key' }).click()
    const shown = page.getByRole('region', { name: 'The new key' })
    const key = (await shown.locator('.once code').textContent()) ?? ''
    expect(key).toMatch(/^crln_/)
    expect(await status(key)).toBe(200)
    await page.getByRole('table', { name: 'API keys' }).getByText('shop').waitFor()
    await lookAt(there, 'keys-made')
    await page.getByRole('button', { name: 'I have stored it' }).click()
    await shown.waitFor({ state: 'detached' })
    expect(await page.content()).not.toContain(key)

    await page.getByRole('button', { name: 'Rotate shop' }).click()
    await page.getByLabel('The key before goes on for').selectOption('3600')
    await page.getByRole('button', { name: 'Make the new key' }).click()
    const second = (await shown.locator('.once code').textContent()) ?? ''
    expect(second).not.toBe(key)
    expect([await status(key), await status(second)]).toEqual([200, 200])
    await page.getByText('replaced by').waitFor()
    await page.getByRole('button', { name: 'I have stored it' }).click()
    await lookAt(there, 'keys')

    // The new one is first or second: it is the one that replaces.
    const row = page.getByRole('row').filter({ hasText: /replaces / })
    await row.getByRole('button', { name: 'End shop' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
    expect(await status(second)).toBe(200)
    await row.getByRole('button', { name: 'End shop' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'End the key' }).click()
    await row.waitFor({ state: 'detached' })
    await until('the key has ended', async () => (await status(second)) === 401, 12_000)
    await page.getByLabel('Show').selectOption('all')
    await row.getByText('Ended').waitFor()
    expect(page.url()).toContain('show=all')
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('asks a session for its key again, and a mistyped one ends nothing', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/keys?tenant=keys-kept', null)
    const { page } = there
    await signIn(page, stack.api_key, { keep: true })
    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByLabel('Name').fill('kept')
    await page.getByLabel('Your API key').fill('crln_wrong_key')
    await page.getByRole('button', { name: 'Make the key' }).click()
    await page.getByRole('dialog').locator('[data-code=credentials_invalid]').waitFor()
    await page.getByLabel('Your API key').fill(stack.api_key)
    await lookAt(there, 'keys-kept')
    await page.getByRole('button', { name: 'Make the key' }).click()
    await page.getByRole('region', { name: 'The new key' }).waitFor()
    expect((await rest(stack, 'GET', '/v1/api-keys?tenant=keys-kept')).body.keys).toHaveLength(1)
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('says at the field what is wrong with a key, and makes none', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/keys?tenant=keys-wrong')
    const { page } = there
    await page.getByRole('button', { name: 'New key' }).click()
    await page.getByLabel('It ends').selectOption('date')
    await page.getByLabel('Date and time').fill('2020-01-01T00:00')
    await page.getByRole('button', { name: 'Make the key' }).click()
    await page.locator('input[aria-invalid]').waitFor()
    await page.keyboard.press('Escape')
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    expect((await rest(stack, 'GET', '/v1/api-keys?tenant=keys-wrong')).body.keys).toEqual([])
    await there.close()
  })

  test('tells who may only read that keys are for administrators', async () => {
    const { browser, stack } = given
    const made = await rest(stack, 'POST', '/v1/api-keys?tenant=keys', { scopes: ['read'], name: 'looks' })
    const there = await visit(browser, stack, '/keys', made.body.key)
    await there.page.getByText('API keys are for administrators').waitFor()
    await lookAt(there, 'keys-read-only')
    expect(there.faults).toEqual([])
    await there.close()
  })
}
