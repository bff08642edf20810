// Does the console answer why somebody did or did not get an event?

import { token } from '@carillon/server'
import type { BrowserContext } from 'playwright-core'
import { expect, test } from 'vitest'
import { until } from '../../../testing/stack.js'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { lookAt, visit } from '../visit.js'

/** What people say, the event and the person it is about, and what is answered. */
const questions: readonly (readonly [said: string, event: string, user: string, verdict: string])[] = [
  ['There is no such order anywhere.', 'no-such-event', 'mila', 'never_published'],
  ['Ana has it, Mila does not.', 'to-ana', 'mila', 'not_addressed'],
  ['Nora says that nothing ever comes.', 'to-nora', 'nora', 'never_connected'],
  ['Why did this phone not ring?', 'to-ben', 'ben', 'offline'],
  ['It is not in the list.', 'muted', 'mila', 'muted'],
  ['It was there and is gone.', 'taken-back', 'mila', 'retracted'],
  ['It has vanished from my inbox.', 'put-out', 'mila', 'deleted'],
  ['It was there this morning.', 'later', 'mila', 'snoozed'],
  ['Has she taken note of it?', 'noted', 'mila', 'acked'],
  ['A new colleague misses the notice of yesterday.', 'for-all', 'emil', 'before_first_seen'],
]

export function why(given: Given) {
  const of = (user: string) => token({ secret: given.stack.jwt_secret, user, tenant: 'why' })
  const ask = async (method: string, path: string, body?: object, bearer?: string) => {
    const answer = await rest(given.stack, method, path, body, bearer)
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300)
    return answer.body
  }
  const publish = (event: object): Promise<{ seq: number }> => ask('POST', '/v1/events', { tenant: 'why', ...event })
  const isAnswered = async (event: string, user: string, verdict: string) => {
    let seen = ''
    const is = async () => {
      seen = (await ask('GET', `/v1/why?tenant=why&event=${event}&user=${user}`)).verdict
      return seen === verdict
    }
    await until(`${event} of ${user} is ${verdict}`, is, 30_000).catch((error) => {
      throw new Error(`${error.message}, but ${seen}`)
    })
  }
  /** Whether the log says that somebody is connected. */
  const isConnected = (user: string, is: boolean) =>
    until(`${user} is ${is ? '' : 'not '}connected`, async () => {
      const { connections } = await ask('GET', `/v1/connections?tenant=why&user=${user}`)
      return connections.length > 0 === is
    })
  /** A phone that is connected until its context is closed: a socket of a page, for Node 20 has none. */
  const connect = async (user: string): Promise<BrowserContext> => {
    const context = await given.browser.newContext()
    const page = await context.newPage()
    await page.goto(`${given.stack.gateways[0]}/`)
    const auth = { type: 'auth', token: await of(user), tenant: 'why', device: 'phone' }
    await page.evaluate(
      (hello) =>
        new Promise<void>((resolve, reject) => {
          const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/v1/ws`, 'carillon.v1')
          socket.onopen = () => socket.send(JSON.stringify(hello))
          socket.onmessage = ({ data }) => (JSON.parse(data).type === 'welcome' ? resolve() : reject(new Error(data)))
          socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`))
        }),
      auth,
    )
    return context
  }

  test('one answer in words, then the facts, for what people ask', async () => {
    const { browser, stack } = given
    await publish({ id: 'for-all', type: 'notice.sent', channels: ['tenant'], notify: { title: 'Welcome' } })
    // These are known from now on: Mila and Emil by their inboxes, Ben by his phone.
    const [mila, emil] = await Promise.all(['mila', 'emil'].map(of))
    await ask('GET', '/v1/inbox/summary', undefined, mila)
    const loud = { 'loud.thing': { inbox: false, toast: false, desktop: false, webhooks: false } }
    await ask('PUT', '/v1/preferences', { types: loud }, mila)
    await ask('GET', '/v1/inbox/summary', undefined, emil)
    const ben = await connect('ben')
    await isConnected('ben', true)
    await ben.close()
    // A gateway notices later that a browser is gone: until then Ben would be one who was connected.
    await isConnected('ben', false)

    for (const user of ['ana', 'nora', 'ben']) await publish({ id: `to-${user}`, type: 'order.paid', users: [user] })
    const notice = (id: string, user: string, more: object = {}, type = 'notice.sent') =>
      publish({ id, type, users: [user], notify: { title: id, ...more } })
    await notice('muted', 'mila', {}, 'loud.thing')
    await notice('taken-back', 'mila')
    await ask('DELETE', '/v1/notices/taken-back?tenant=why')
    await ask('DELETE', `/v1/inbox/${(await notice('put-out', 'mila')).seq}`, undefined, mila)
    const tomorrow = new Date(Date.now() + 3_600_000).toISOString()
    await ask('POST', `/v1/inbox/${(await notice('later', 'mila')).seq}/snooze`, { until: tomorrow }, mila)
    await ask('POST', `/v1/inbox/${(await notice('noted', 'mila', { requires_ack: true })).seq}/ack`, {}, mila)
    // What gateways know of devices is stored a moment later, and the page asks once.
    for (const [, event, user, verdict] of questions) await isAnswered(event, user, verdict)

    const there = await visit(browser, stack, '/why?tenant=why')
    const { page } = there
    await page.getByText('Name an event and a person').waitFor()
    for (const [said, event, user, verdict] of questions) {
      await page.getByLabel('Event (its id)').fill(event)
      await page.getByLabel('Person').fill(user)
      await page.getByRole('button', { name: 'Ask' }).click()
      const answer = page.getByRole('region', { name: 'The answer' })
      const told = answer.getByText(verdict, { exact: true }).waitFor()
      await told.catch(async () => expect(await answer.locator('code').first().textContent(), said).toBe(verdict))
      await page.waitForURL(new RegExp(`event=${event}&user=${user}`))
      expect((await answer.locator('.said').textContent())?.length, said).toBeGreaterThan(10)
      if (event === 'muted') await lookAt(there, 'why')
    }
    expect(there.faults).toEqual([])
    await there.close()
  }, 120_000)

  test('who may only read asks why; a person without the capability admin asks about themselves, and not here', async () => {
    const { browser, stack } = given
    await publish({ id: 'to-fay', type: 'order.paid', users: ['fay'] })
    const { key } = await ask('POST', '/v1/api-keys?tenant=why', { scopes: ['read'] })
    const there = await visit(browser, stack, '/why?event=to-fay&user=fay', key)
    const answer = there.page.getByRole('region', { name: 'The answer' })
    await answer.getByText('never_connected', { exact: true }).waitFor()
    expect(there.faults).toEqual([])
    await there.close()
    const fay = await of('fay')
    expect((await ask('GET', '/v1/why?event=to-fay', undefined, fay)).user).toBe('fay')
    const other = await visit(browser, stack, '/why?event=to-fay&user=fay', null)
    await other.page.getByLabel('API key or user token').fill(fay)
    await other.page.getByRole('button', { name: 'Sign in' }).click()
    await other.page.getByText('GET /v1/why tells your own token').waitFor()
    await other.close()
  })
}
