// Is a type made, refused with each fault at its field, previewed in each language and deleted on its page?

import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

export function types(given: Given) {
  test('a type is made in two languages, its faults stand at their fields, and it is previewed', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/types?tenant=types-page')
    const { page } = there
    await page.getByText('Nothing is said about any type yet').waitFor()
    await page.getByRole('button', { name: 'New type' }).click()
    await page.getByLabel('Type', { exact: true }).fill('order.paid')
    await page.getByLabel('Title', { exact: true }).fill('Order {{ id|shout }} was paid')
    await page.getByLabel('Body', { exact: true }).fill('{{ total }} from {{ customer.name }}')
    await page.getByLabel('A further language').fill('de')
    await page.getByRole('button', { name: 'Add' }).click()
    await page.getByLabel('Title in de').fill('Bestellung {{ id }} ist bezahlt')
    await page.getByLabel('JSON Schema').fill('{"type": "object", ')
    await page.getByText('This is no JSON').waitFor()
    expect(await page.getByRole('button', { name: 'Create the type' }).isDisabled()).toBe(true)
    await page
      .getByLabel('JSON Schema')
      .fill('{"type": "object", "requierd": ["id"], "properties": {"total": {"type": "number"}}}')
    await page.getByRole('button', { name: 'Create the type' }).click()
    await page.locator('.fault', { hasText: 'requierd' }).waitFor()
    // The fault of the text without a language is marked while another one is shown.
    await page.getByRole('button', { name: 'No language has a fault' }).click()
    expect(await page.getByLabel('Title', { exact: true }).getAttribute('aria-invalid')).toBe('true')
    await lookAt(there, 'types-faults')
    await page.getByLabel('Title', { exact: true }).fill('Order {{ id }} was paid')
    await page
      .getByLabel('JSON Schema')
      .fill('{"type": "object", "required": ["id"], "properties": {"total": {"type": "number"}}}')
    await page.getByLabel('on the desktop').selectOption('off')
    await page.getByLabel('Mandatory').check()
    await page.getByRole('button', { name: 'Create the type' }).click()
    await page.getByRole('list', { name: 'Types' }).getByText('order.paid').waitFor()
    const cards = page.getByRole('list', { name: 'In each language' })
    await cards.getByText('Bestellung id ist bezahlt').waitFor()
    await page.getByLabel('Data of an event').fill('{"id": "o-17", "total": 45, "customer": {"name": "Zoë"}}')
    await page.getByRole('button', { name: 'Preview' }).click()
    await cards.getByText('Bestellung o-17 ist bezahlt').waitFor()
    expect(await cards.getByText('45 from Zoë').count()).toBe(2)
    await lookAt(there, 'types')
    await page.getByLabel('Data of an event').fill('{"id": "o-17", "total": "much"}')
    await page.getByRole('button', { name: 'Preview' }).click()
    await page.locator('.fault', { hasText: 'total' }).waitFor()
    await page.reload()
    await page.getByLabel('API key or user token').fill(stack.api_key)
    await page.getByRole('button', { name: 'Sign in' }).click()
    expect(await page.getByLabel('on the desktop').inputValue()).toBe('off')
    expect(await page.getByLabel('Mandatory').isChecked()).toBe(true)
    await page.getByRole('button', { name: 'Delete…' }).click()
    await page.getByRole('button', { name: 'Delete the type' }).click()
    await page.getByText('Nothing is said about any type yet').waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })
}
