// Can the limits of a tenant be set by those who may, and by nobody else?

import { token } from '@carillon/server'
import { expect, test } from 'vitest'
import { until } from '../../../testing/stack.js'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { lookAt, visit } from '../visit.js'

export function tenants(given: Given) {
  const stored = async () => (await rest(given.stack, 'GET', '/v1/tenants/limits')).body

  test('lists the tenants of the installation to whoever runs it, to choose one', async () => {
    const { browser, stack } = given
    for (const name of ['chosen-first', 'chosen-second']) {
      const made = await rest(stack, 'PUT', `/v1/tenants/${name}`, { suspended: name === 'chosen-second' })
      expect(made.status, JSON.stringify(made.body)).toBe(200)
    }
    const there = await visit(browser, stack, '/tenants')
    const { page } = there
    const list = page.getByRole('list', { name: 'Tenants' })
    await list.getByRole('button', { name: 'chosen-first' }).waitFor()
    await page.getByLabel('Name of the tenant').fill('chosen-')
    expect(await list.getByRole('listitem').count()).toBe(2)
    expect(await list.getByText('suspended').count()).toBe(1)
    await lookAt(there, 'tenants-list')
    await list.getByRole('button', { name: 'chosen-first' }).click()
    await page.getByText('What chosen-first uses now').waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('sets limits and says at the field what is wrong; takes them away again', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/tenants?tenant=limits')
    const { page } = there
    const save = page.getByRole('button', { name: 'Save limits' })
    const saved = async () => {
      const answered = page.waitForResponse((answer) => answer.request().method() === 'PUT')
      await save.click()
      await answered
      await page.getByText('The limits hold').waitFor()
    }
    await page.getByLabel('Connections').fill('100')
    await page.getByLabel('Events a second').fill('many')
    await save.click()
    await page.locator('input[aria-invalid]').waitFor()
    expect(await page.locator('input[aria-invalid]').inputValue()).toBe('many')
    expect((await stored()).limits).toBeUndefined()
    await page.getByLabel('Events a second').fill('50')
    await saved()
    expect((await stored()).limits).toEqual({
      connections: 100,
      events_per_second: 50,
      signals_per_second: null,
      notices_per_day: null,
    })
    await page.getByText('0 % of 100').waitFor()
    await lookAt(there, 'tenants')

    await page.getByLabel('Connections').fill('')
    await page.getByLabel('Events a second').fill('')
    await saved()
    await page.getByText('no limit').first().waitFor()
    expect((await stored()).limits).toBeUndefined()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('says where the application is asked, and shows its secret once', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/tenants?tenant=limits')
    const { page } = there
    await page.getByLabel('URL').fill('http://10.0.0.1/')
    await page.getByRole('button', { name: 'Save URL' }).click()
    await page.locator('input[aria-invalid]').waitFor()
    await page.getByLabel('URL').fill('https://app.example.com/authorize')
    await page.getByRole('button', { name: 'Save URL' }).click()
    const secret = page.getByRole('region', { name: 'The new secret' }).locator('.once code')
    const first = await secret.textContent()
    expect(first).toMatch(/^whsec_/)
    await page.getByRole('button', { name: 'I have stored it' }).click()
    await page.getByRole('button', { name: 'New secret' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Make a new secret' }).click()
    await secret.waitFor()
    expect(await secret.textContent()).not.toBe(first)
    await page.getByText('signs, too').waitFor()
    await lookAt(there, 'tenants-secret')
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('suspends a tenant after a question, and lets it go on', async () => {
    const { browser, stack } = given
    const made = await rest(stack, 'POST', '/v1/api-keys?tenant=suspended', { scopes: ['read'] })
    const reads = async () => (await rest(stack, 'GET', '/v1/events', undefined, made.body.key)).status
    expect(await reads()).toBe(200)
    const there = await visit(browser, stack, '/tenants?tenant=suspended')
    const { page } = there
    await page.getByRole('button', { name: 'Suspend', exact: true }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Suspend suspended' }).click()
    await page.getByText('Its connections are closed').waitFor()
    await until('its key is refused', async () => (await reads()) === 403)
    await lookAt(there, 'tenants-suspended')
    await page.getByRole('button', { name: 'Let it go on' }).click()
    await page.getByText('Not suspended').waitFor()
    await until('its key is taken again', async () => (await reads()) === 200)
    expect(there.faults).toEqual([])
    await there.close()
  })

  test("a tenant's administrator sees limits, and cannot set them; who may only read sees what is used", async () => {
    const { browser, stack } = given
    const ada = await token({ secret: stack.jwt_secret, user: 'ada', tenant: 'limits', caps: ['admin'] })
    const there = await visit(browser, stack, '/tenants', ada)
    await there.page.getByText('Whoever runs the installation sets these').waitFor()
    expect(await there.page.getByLabel('Connections').getAttribute('readonly')).not.toBeNull()
    await there.close()
    const made = await rest(stack, 'POST', '/v1/api-keys?tenant=limits', { scopes: ['read'] })
    const reader = await visit(browser, stack, '/tenants', made.body.key)
    await reader.page.getByText('Settings of a tenant are for administrators').waitFor()
    await reader.page.getByText('in channels', { exact: true }).waitFor()
    await reader.close()
  })
}
