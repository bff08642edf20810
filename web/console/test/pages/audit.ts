// Does the audit say who changed what, and what is otherwise since?

import { expect, test } from 'vitest'
import { differences, written } from '../../src/pages/audit/difference.js'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { lookAt, visit } from '../visit.js'

export function audit(given: Given) {
  test('a difference names each place that is otherwise, and no other', () => {
    expect(differences({ a: 1, b: { c: [1, 2], d: 'x' } }, { a: 1, b: { c: [1, 2, 3], d: 'x' }, e: null })).toEqual([
      { path: 'b.c', before: [1, 2], after: [1, 2, 3] },
      { path: 'e', before: undefined, after: null },
    ])
    expect(differences(null, { a: 1 })).toEqual([{ path: 'a', before: undefined, after: 1 }])
    expect(differences({ a: 1 }, null)).toEqual([{ path: 'a', before: 1, after: undefined }])
    expect(differences({ a: [{ b: 1 }] }, { a: [{ b: 2 }] })).toEqual([{ path: 'a[0].b', before: 1, after: 2 }])
    expect(differences({ a: 1 }, { a: 1 })).toEqual([])
    expect([written([]), written(['x', 'y']), written(''), written({ a: 1 })]).toEqual(['none', 'x, y', '""', '{"a":1}'])
  })

  test('shows what was and what is; a filter stands in the URL and finds, or says that it finds nothing', async () => {
    const { browser, stack } = given
    const rule = `/v1/channel-rules/${encodeURIComponent('order:{order}')}?tenant=audit`
    await rest(stack, 'PUT', rule, { subscribe: ['role:desk'] })
    await rest(stack, 'PUT', rule, { subscribe: ['role:desk', 'ask'], rate: 20 })
    await rest(stack, 'PUT', '/v1/tenants/audit', { limits: { connections: 100 } })
    await rest(stack, 'POST', '/v1/api-keys?tenant=audit', { scopes: ['read'], name: '<img src=x onerror=alert(1)>' })
    const there = await visit(browser, stack, '/audit?tenant=audit')
    const { page } = there
    const changed = page.getByRole('listitem').filter({ hasText: 'Channel rule changed' })
    await changed.waitFor()
    expect(await changed.locator('del').allTextContents()).toContain('was: role:desk')
    expect(await changed.locator('ins').allTextContents()).toContain('is: role:desk, ask')
    await page.getByText('Limits created').or(page.getByText('Limits changed')).first().waitFor()
    await page.locator('ins').getByText('<img src=x onerror=alert(1)>').waitFor()
    await lookAt(there, 'audit')

    await page.getByLabel('What', { exact: true }).selectOption('limits')
    await changed.waitFor({ state: 'detached' })
    expect(page.url()).toContain('action=limits')
    await page.getByLabel('Who', { exact: true }).fill('user:nobody')
    await page.getByText('No change is like this').waitFor()
    expect(page.url()).toContain('actor=user%3Anobody')
    await lookAt(there, 'audit-no-match')
    await page.getByRole('button', { name: 'Show all changes' }).click()
    await changed.getByRole('button', { name: 'order:{order}' }).click()
    const records = page.locator('.change')
    await records.filter({ hasText: 'Limits' }).waitFor({ state: 'detached' })
    await records.nth(1).waitFor()
    expect(await records.count()).toBe(2)
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('an empty one, and one that somebody may not see, say so', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/audit?tenant=audit-empty')
    await there.page.getByText('Nothing was changed yet').waitFor()
    await there.close()
    const made = await rest(stack, 'POST', '/v1/api-keys?tenant=audit', { scopes: ['read'] })
    const reader = await visit(browser, stack, '/audit', made.body.key)
    await reader.page.getByText('Records of changes are for administrators').waitFor()
    await reader.close()
  })
}
