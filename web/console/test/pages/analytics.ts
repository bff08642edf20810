// Do the numbers of the page add up to what was published?

import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { until } from '../../../testing/stack.js'
import { change } from '../../src/pages/analytics/change.js'
import { csv } from '../../src/pages/analytics/csv.js'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { lookAt, visit } from '../visit.js'

export function analytics(given: Given) {
  test('a cell is a text in a table program, whatever is in it', () => {
    expect(
      csv([
        ['a,b', 'say "x"', 3, null],
        ['=1+1', '-2', '@x', -2],
      ]),
    ).toBe('"a,b","say ""x""",3,\r\n\'=1+1,\'-2,\'@x,-2\r\n')
    expect([change(3, 2).text, change(1, 2).text, change(2, 2).text, change(2, 0).text]).toEqual([
      '+50 %',
      '−50 %',
      '±0 %',
      'new',
    ])
  })

  test('counts by type, source and actor and over time, and gives the same as CSV', async () => {
    const { browser, stack } = given
    const of = (type: string, actor: string, n: number) =>
      Array.from({ length: n }, () => ({ type, actor, source: 'shop', tenant_wide: true }))
    const events = [...of('order.paid', 'mila', 12), ...of('order.sent', 'hana', 5), ...of('=cmd', 'hana', 1)]
    expect((await rest(stack, 'POST', '/v1/events?tenant=analytics', events)).status).toBe(201)
    await until('they are counted', async () => {
      return (await rest(stack, 'GET', '/v1/analytics?tenant=analytics')).body.events === 18
    })
    const there = await visit(browser, stack, '/analytics?tenant=analytics')
    const { page } = there
    const types = page.getByRole('table', { name: 'Events by type' })
    const paid = types.getByRole('row').filter({ hasText: 'order.paid' })
    await paid.getByRole('cell', { name: '12', exact: true }).waitFor()
    await paid.getByRole('cell', { name: '66.7 %' }).waitFor()
    await page.getByRole('region', { name: 'In this time' }).getByText('18', { exact: true }).first().waitFor()
    await page.getByRole('img', { name: 'Events of each hour' }).waitFor()
    await lookAt(there, 'analytics')

    const saved = page.waitForEvent('download')
    await page.getByRole('button', { name: 'Events by type as CSV' }).click()
    const file = await saved
    expect(file.suggestedFilename()).toMatch(/^carillon-analytics-events-by-type-\d{4}-\d\d-\d\d-\d{4}-\d\d-\d\d\.csv$/)
    expect(readFileSync(await file.path(), 'utf8')).toBe(
      "\ufefftype,events,before\r\norder.paid,12,0\r\norder.sent,5,0\r\n'=cmd,1,0\r\n",
    )

    await page.getByRole('radio', { name: 'Actor' }).focus()
    await page.keyboard.press('Space')
    const actors = page.getByRole('table', { name: 'Events by actor' })
    await actors.getByRole('link', { name: 'mila' }).waitFor()
    expect(page.url()).toContain('by=actor')
    await page.getByLabel('Time', { exact: true }).selectOption('30')
    await page.getByRole('img', { name: 'Events of each day' }).waitFor()
    expect(page.url()).toContain('range=30')
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('says that nothing was published, and names a range that cannot be asked for', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/analytics?tenant=analytics-empty')
    await there.page.getByText('Nothing was published in this time').waitFor()
    await lookAt(there, 'analytics-empty')
    await there.close()
    const wrong = await visit(browser, stack, '/analytics?tenant=analytics&range=own&from=2020-01-01&to=2026-01-01')
    await wrong.page.getByRole('alert').first().waitFor()
    expect(wrong.faults).toEqual([])
    await wrong.close()
  })
}
