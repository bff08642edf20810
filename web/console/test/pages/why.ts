// Does the console answer why somebody did or did not get an event?

import { token } from '@carillon/server'
import { expect, test } from 'vitest'
import type { Given } from '../console.test.js'
import { lookAt, visit } from '../visit.js'

export function why(given: Given) {
  const ask = async (method: string, path: string, body?: object, bearer = given.stack.api_key) => {
    const headers = { authorization: `Bearer ${bearer}`, ...(body && { 'content-type': 'application/json' }) }
    const answer = await fetch(given.stack.lb + path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    expect(answer.ok, `${method} ${path}: ${answer.status}`).toBe(true)
    return answer.json()
  }
  const mila = () => token({ secret: given.stack.jwt_secret, user: 'mila', tenant: 'why' })

  test('one answer in words, then the facts, for what people ask', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/why?tenant=why')
    const { page } = there
    await page.getByText('Name an event and a person').waitFor()
    const events = [
      { id: 'to-ana', type: 'order.paid', users: ['ana'] },
      { id: 'to-nora', type: 'order.paid', users: ['nora'] },
      { id: 'to-room', type: 'order.paid', channels: ['room:1'] },
      { id: 'muted', type: 'loud.thing', users: ['mila'], notify: { title: 'Loud' } },
      { id: 'taken-back', type: 'notice.sent', users: ['mila'], notify: { title: 'Never mind' } },
    ]
    // Mila is known, and wants nothing of one type.
    await ask('GET', '/v1/inbox/summary', undefined, await mila())
    const loud = { 'loud.thing': { inbox: false, toast: false, desktop: false, webhooks: false } }
    await ask('PUT', '/v1/preferences', { types: loud }, await mila())
    for (const event of events) await ask('POST', '/v1/events', { tenant: 'why', ...event })
    await ask('DELETE', '/v1/notices/taken-back?tenant=why')
    const questions: [event: string, user: string, verdict: string][] = [
      ['no-such-event', 'mila', 'never_published'],
      ['to-ana', 'mila', 'not_addressed'],
      ['to-nora', 'nora', 'never_connected'],
      ['muted', 'mila', 'muted'],
      ['taken-back', 'mila', 'retracted'],
    ]
    for (const [event, user, verdict] of questions) {
      await page.getByLabel('Event (its id)').fill(event)
      await page.getByLabel('Person').fill(user)
      await page.getByRole('button', { name: 'Ask' }).click()
      const answer = page.getByRole('region', { name: 'The answer' })
      await answer.getByText(verdict, { exact: true }).waitFor()
      await page.waitForURL(new RegExp(`event=${event}&user=${user}`))
      expect((await answer.locator('.said').textContent())?.length).toBeGreaterThan(10)
      if (event === 'muted') await lookAt(there, 'why')
    }
    expect(there.faults).toEqual([])
    await there.close()
  })
}
