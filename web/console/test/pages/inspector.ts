// Does the inspector show who is here, what they may and how far they are, and does it disconnect whom it says?

import { type Client, createClient } from '@carillon/client'
import { token } from '@carillon/server'
import { expect, test } from 'vitest'
import { until } from '../../../testing/stack.js'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { lookAt, visit } from '../visit.js'

export function inspector(given: Given) {
  const connect = async (user: string, device: string): Promise<Client> => {
    const { lb, jwt_secret } = given.stack
    const client = createClient({
      url: lb,
      tenant: 'inspect',
      device,
      getToken: () => token({ secret: jwt_secret, user, tenant: 'inspect', roles: ['desk'] }),
      tabs: false,
      autoConnect: true,
      onError() {},
    })
    client.channel('branch:1').on('*', () => {})
    await until(`${user} is connected`, () => client.state.status === 'open')
    return client
  }

  test('a person: presence, rules, devices and connections; a test reaches them, and they are disconnected', async () => {
    const { browser, stack } = given
    const rule = `/v1/channel-rules/${encodeURIComponent('branch:{branch}')}?tenant=inspect`
    await rest(stack, 'PUT', rule, { subscribe: ['role:desk'], presence: ['role:desk'] })
    const client = await connect('mila', 'phone')
    const got: string[] = []
    client.on('console.test', (event) => void got.push(event.id))
    const there = await visit(browser, stack, '/inspect?tenant=inspect')
    const { page } = there
    await page.getByRole('table', { name: 'Connections' }).getByRole('link', { name: 'mila' }).waitFor({ timeout: 15_000 })
    await lookAt(there, 'inspector-tenant')

    // By the keyboard alone: the name, Enter.
    await page.getByRole('searchbox', { name: 'Name' }).focus()
    await page.keyboard.type('mila')
    await page.keyboard.press('Enter')
    await page.getByRole('region', { name: 'Person mila' }).waitFor()
    expect(page.url()).toContain('user=mila')
    await page.getByText('Here', { exact: true }).waitFor()
    await page.getByRole('table', { name: 'Channels they are seen in' }).getByRole('link', { name: 'branch:1' }).waitFor()
    await page.getByLabel('In the channel').fill('branch:1')
    await page.getByLabel('Roles of theirs').fill('desk')
    await page.getByText('the rule says role:desk').first().waitFor()
    expect(page.url()).toContain('in=branch%3A1')

    await page.getByRole('button', { name: 'Send a test' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Data (JSON)').fill('{"a":')
    await dialog.getByRole('button', { name: 'Send', exact: true }).click()
    await dialog.getByText('This is no JSON').waitFor()
    await dialog.getByLabel('Data (JSON)').fill('{"a":1}')
    await dialog.getByRole('button', { name: 'Send', exact: true }).click()
    await dialog.getByText('It was committed').waitFor()
    await until('the test is here', () => got.length === 1)
    await lookAt(there, 'inspector-send')
    await page.keyboard.press('Escape')
    await page.getByText('the newest for all their devices').waitFor()
    await lookAt(there, 'inspector-person')

    await page.getByRole('button', { name: 'Disconnect mila' }).click()
    await dialog.getByRole('button', { name: 'Cancel' }).click()
    expect(client.state.status).toBe('open')
    await page.getByRole('button', { name: 'Disconnect mila' }).click()
    await dialog.getByRole('button', { name: 'Disconnect', exact: true }).click()
    await page.getByText('One connection was closed.').waitFor()
    await until('the connection has ended', () => client.state.status !== 'open')
    await page.getByRole('button', { name: 'Let in again' }).click()
    await page.getByText('It was lifted').waitFor()
    await page.getByText('No token of mila is refused').waitFor()
    expect(there.faults).toEqual([])
    client.close()
    await there.close()
  })

  test('a channel and a connection: who is there, which rule decides, and one connection is closed', async () => {
    const { browser, stack } = given
    const rule = `/v1/channel-rules/${encodeURIComponent('branch:{branch}')}?tenant=inspect`
    await rest(stack, 'PUT', rule, { subscribe: ['role:desk'], presence: ['role:desk'] })
    await rest(stack, 'POST', '/v1/events?tenant=inspect', { type: 'branch.opened', channel: 'branch:1', actor: '<b>x</b>' })
    const client = await connect('hana', 'desk-1')
    const there = await visit(browser, stack, '/inspect?tenant=inspect&channel=branch:1')
    const { page } = there
    await page.getByRole('table', { name: 'People here' }).getByRole('link', { name: 'hana' }).waitFor({ timeout: 15_000 })
    await page.getByText('branch:{branch}').first().waitFor()
    await page.getByRole('cell', { name: '<b>x</b>' }).waitFor()
    const mine = page.getByRole('table', { name: 'Connections' }).getByRole('row').filter({ hasText: 'hana' })
    await mine.waitFor({ timeout: 15_000 })
    await lookAt(there, 'inspector-channel')
    await mine.locator('a.mono').click()
    await page.getByText('Events behind').waitFor()
    await lookAt(there, 'inspector-connection')
    await page.getByRole('button', { name: 'Disconnect this connection' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Disconnect', exact: true }).click()
    await page.getByText('One connection was closed.').waitFor()
    client.close()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('who may only read sees all but the rules, and can disconnect nobody; nobody of a name says so', async () => {
    const { browser, stack } = given
    const made = await rest(stack, 'POST', '/v1/api-keys?tenant=inspect', { scopes: ['read'] })
    const there = await visit(browser, stack, '/inspect?user=nobody', made.body.key)
    const { page } = there
    await page.getByText('nobody has no WebSocket').waitFor()
    await page.getByText('They are seen nowhere').waitFor()
    expect(await page.getByRole('button', { name: 'Disconnect nobody' }).isDisabled()).toBe(true)
    expect(await page.getByRole('button', { name: 'Send a test' }).isDisabled()).toBe(true)
    await lookAt(there, 'inspector-nobody')
    expect(there.faults).toEqual([])
    await there.close()
  })
}
