// Does each example show what is published, also when the gateway it was connected to is gone?

import { get } from 'node:http'
import { Carillon, type PublishEvent } from '@carillon/server'
import type { Locator } from 'playwright-core'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Stack, startStack, until } from '../../testing/stack.js'
import { type Site, startSite, type Visit } from './site.js'

let stack: Stack
let site: Site
let carillon: Carillon
let isMaimed = false
beforeAll(async () => {
  stack = await startStack('--gateways', '2', '--examples')
  carillon = new Carillon({ url: stack.publisher, apiKey: stack.api_key })
  site = await startSite(stack)
})
afterEach(async () => {
  if (isMaimed) await stack.revive()
  isMaimed = false
})
afterAll(async () => {
  await site?.close()
  await stack?.down()
})

const publish = (tenant: string, event: PublishEvent) => carillon.publish({ tenant, ...event })
const shows = async (where: Locator, text: string) => {
  await where.getByText(text).first().waitFor({ timeout: 15_000 })
}

/** What a browser gets whose name for this machine is another's (DNS rebinding). */
const statusAs = (host: string, port: number) =>
  new Promise<number | undefined>((resolve, reject) => {
    get({ host: '127.0.0.1', port, path: '/session/shop', headers: { host } }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    }).on('error', reject)
  })

/** Ends the gateway of a page without a goodbye, and waits until the page has another. */
async function killGatewayOf({ page, node }: Visit) {
  const first = node()
  isMaimed = true
  process.kill(stack.pids[first] as number, 'SIGKILL')
  await until('another gateway', () => node() !== first, 20_000)
  await page.getByText('Connected', { exact: true }).first().waitFor()
}

test('`carillon up --examples` names an address that serves every page with its script, to this machine only', async () => {
  const { examples = '' } = stack
  expect(new URL(examples).hostname).toBe('127.0.0.1')
  const index = await (await fetch(examples)).text()
  for (const name of ['appointments', 'crm', 'leads', 'shop', 'school']) {
    expect(index).toContain(`href="./${name}/"`)
    const page = await fetch(`${examples}${name}/`)
    const script = /src="([^"]+)"/.exec(await page.text())?.[1]
    const answer = await fetch(new URL(script ?? '', page.url))
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/javascript'])
  }
  for (const path of ['..%2fserve.mjs', '%2e%2e/package.json', 'nowhere']) expect((await fetch(examples + path)).status).toBe(404)
  expect((await fetch(`${examples}session/nobody`)).status).toBe(404)
  // A page of somebody else can neither read a token nor press a button.
  const foreign = await fetch(`${examples}do/shop/move`, { method: 'POST', body: '{}' })
  expect(foreign.status).toBe(415)
  expect((await fetch(`${examples}session/shop`)).headers.get('access-control-allow-origin')).toBeNull()
  expect(await statusAs('evil.example', Number(new URL(examples).port))).toBe(403)
})

test('appointments: one that is booked appears, its button confirms it, and the next comes over another gateway', async () => {
  const visit = await site.open('appointments')
  const { page, faults } = visit
  const list = page.getByTestId('appointments')
  const booked = (appointment: number, client: string): PublishEvent => ({
    type: 'appointment.created',
    tenant_wide: true,
    source: 'telegram',
    data: { appointment, client, slot: '2026-12-01 10:00', service: 'Passport photo' },
    notify: { title: 'New appointment', body: client },
  })
  await publish('studio-nova', booked(1, 'Mila Kovač'))
  await shows(list, 'Mila Kovač')
  await page.getByRole('button', { name: /^Notifications, unread: 1/ }).waitFor()

  await page.getByRole('button', { name: 'Confirm Mila Kovač' }).click()
  await until('it is confirmed', async () => (await list.getByText('Mila Kovač').count()) === 0)
  await page.getByRole('button', { name: 'To be confirmed' }).click()
  await shows(list, 'confirmed')

  await killGatewayOf(visit)
  await publish('studio-nova', booked(2, 'Jonas Berger'))
  await shows(list, 'Jonas Berger')
  await publish('studio-nova', {
    type: 'bot.message.received',
    tenant_wide: true,
    data: { client: 'Lea', text: 'Where do I park?' },
  })
  await shows(page.locator('main'), 'Lea: Where do I park?')
  expect(faults).toEqual([])

  // A train tunnel, then a reload: everything is there, once.
  await page.context().setOffline(true)
  await publish('studio-nova', booked(3, 'Clara Costa'))
  await publish('studio-nova', { type: 'appointment.cancelled', tenant_wide: true, data: { appointment: 2, reason: 'ill' } })
  await page.context().setOffline(false)
  await shows(list, 'Clara Costa')
  await shows(list, 'cancelled')
  await page.reload()
  await shows(page.getByTestId('appointments'), 'Clara Costa')
  expect(await page.getByTestId('appointments').getByText('Clara Costa').count()).toBe(1)
  await page.close()
})

test('crm: who is free is the latest value of each, and check-ins move from column to column', async () => {
  const is = (staff: string, state: string): PublishEvent => ({
    type: 'staff.status',
    channel: 'staff',
    key: staff,
    data: { staff, state },
  })
  for (const state of ['free', 'busy', 'on break']) await publish('verde-wellness', is('elif', state))
  const visit = await site.open('crm')
  const { page, faults } = visit
  const staff = page.getByTestId('staff')
  await shows(staff.locator('.tag'), 'on break')
  await page.getByLabel('State of elif').selectOption('free')
  await shows(staff.locator('.tag'), 'free')
  await page.getByText('1 free now').waitFor()

  const happens = (type: string): PublishEvent => ({
    type,
    channel: 'branch:harbour',
    data: { visit: 7, client: 'Amira Haddad', branch: 'harbour' },
  })
  await publish('verde-wellness', happens('appointment.created'))
  await shows(page.getByTestId('expected'), 'Amira Haddad')
  await page.getByRole('button', { name: 'Check in Amira Haddad' }).click()
  await shows(page.getByTestId('here'), 'Amira Haddad')

  await killGatewayOf(visit)
  await publish('verde-wellness', happens('appointment.completed'))
  await shows(page.getByTestId('to pay'), 'Amira Haddad')
  await publish('verde-wellness', is('marta', 'busy'))
  await shows(staff, 'marta')
  expect(faults).toEqual([])
  await page.close()
})

test('leads: progress of a campaign, a toast, an answer; one types and another sees it', async () => {
  const visit = await site.open('leads')
  const { page, faults } = visit
  const progress = (sent: number): PublishEvent => ({
    type: 'campaign.progress',
    tenant_wide: true,
    channel: 'campaign:1',
    data: { campaign: 1, name: 'Spring offer', total: 200, sent, failed: 0, percent: sent / 2 },
  })
  await publish('north-leads', progress(50))
  await shows(page.getByTestId('campaigns'), '50 of 200 sent')
  await publish('north-leads', {
    type: 'message.received',
    roles: ['ADMIN'],
    channels: ['lead:3', 'contact:3'],
    data: { lead: 3, from: 'Luka Novak', text: 'Can you call me?' },
    notify: { title: 'Luka Novak waits for an answer', priority: 'urgent' },
  })
  await page.getByRole('alert').getByText('Luka Novak waits for an answer').waitFor()
  await page.getByRole('button', { name: 'Answer Luka Novak' }).click()
  await shows(page.getByTestId('leads'), 'answered')

  await killGatewayOf(visit)
  await publish('north-leads', progress(150))
  await shows(page.getByTestId('campaigns'), '150 of 200 sent')
  await page.getByLabel('Message to the team').fill('the client is here')
  await page.getByRole('button', { name: 'Send' }).click()
  await shows(page.getByTestId('notes'), 'the client is here')
  expect(faults).toEqual([])
  await page.close()
})

test('shop: an order goes its way, of 130 messages the last 100 are shown, and the bot says how it is', async () => {
  const message = (n: number): PublishEvent => ({
    type: 'bot_message',
    channel: 'admin_dashboard',
    data: { customer: 'Nina', text: `question ${n}.` },
  })
  await carillon.publish(Array.from({ length: 130 }, (_, n) => ({ tenant: 'bazaar-luna', ...message(n) })))
  const visit = await site.open('shop')
  const { page, faults } = visit
  const messages = page.getByTestId('messages').locator('li')
  await shows(page.locator('main'), 'Last 100 messages')
  expect(await messages.first().textContent()).toContain('question 129.')
  expect(await messages.last().textContent()).toContain('question 30.')

  await publish('bazaar-luna', {
    type: 'new_order',
    channel: 'admin_dashboard',
    data: { order: 5, customer: 'Emil Rossi', item: 'clay mug', pieces: 2, total: 28 },
  })
  await page.getByRole('button', { name: 'Order 5: paid' }).click()
  await page.getByRole('button', { name: 'Order 5: packed' }).waitFor()
  await publish('bazaar-luna', { type: 'bot_status', channel: 'admin_dashboard', data: { status: 'connected', battery: 80 } })
  await shows(page.getByTestId('bot'), 'connected')

  await killGatewayOf(visit)
  await publish('bazaar-luna', message(130))
  await shows(page.getByTestId('messages'), 'question 130.')
  expect(await messages.count()).toBe(100)
  expect(faults).toEqual([])
  await page.close()
})

test('school: notices of three schools wait for the director, and what she confirms is confirmed', async () => {
  const visit = await site.open('school')
  const { page, faults } = visit
  const waiting = page.getByTestId('to-confirm')
  for (const title of ['Fire drill on Monday', 'New rules for excursions', 'Parents’ evening']) await shows(waiting, title)
  // The first was made anew for the other schools; that it is closed is told a moment later.
  await until('one socket', () => visit.sockets() === 1)
  await page.getByRole('button', { name: 'Confirm New rules for excursions' }).click()
  await until('it waits no more', async () => (await waiting.getByText('New rules for excursions').count()) === 0)

  await page.getByRole('button', { name: /Maple School/ }).click()
  await page.getByRole('heading', { name: 'To the staff of Maple School' }).waitFor()
  await page.getByRole('textbox', { name: 'Notice' }).fill('Snow: school begins at ten')
  await page.getByRole('button', { name: 'Send' }).click()
  await shows(waiting, 'Snow: school begins at ten')

  await killGatewayOf(visit)
  const { id } = await carillon.notice({
    tenant: 'birch-school',
    title: 'Boiler is out',
    audience: { roles: ['director'] },
    requires_ack: true,
  })
  await page.getByRole('button', { name: 'Confirm Boiler is out' }).click()
  const told = async () =>
    (
      await fetch(`${stack.publisher}/v1/notices/${id}?tenant=birch-school`, {
        headers: { authorization: `Bearer ${stack.api_key}` },
      })
    ).json()
  await until('the confirmation is stored', async () => (await told()).acked === 1)
  await until('one socket', () => visit.sockets() === 1)
  expect(await told()).toMatchObject({ title: 'Boiler is out', not_acked: [] })
  expect(faults).toEqual([])
  await page.close()
})
