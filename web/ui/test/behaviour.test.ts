// Does each part do what people expect of it, with the mouse, the keyboard and a screen reader?

import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Fake } from '../../testing/fake-client.js'
import { launch, type Pages, servePage } from '../../testing/pages.js'
import { until } from '../../testing/stack.js'

declare const fake: Fake

let browser: Browser
let pages: Pages
let context: BrowserContext
let page: Page
beforeAll(async () => {
  pages = await servePage('/stories.tsx', import.meta.dirname)
  browser = await launch()
})
afterAll(async () => {
  await browser?.close()
  await pages?.close()
})
beforeEach(async () => {
  context = await browser.newContext({ viewport: { width: 480, height: 700 }, permissions: [] })
  page = await context.newPage()
})
afterEach(() => context.close())

async function open(story: string) {
  await page.goto(`${pages.url}?story=${story}`)
  await page.waitForSelector('body[data-drawn]', { state: 'attached' })
}
const calls = async (name: string) => (await page.evaluate(() => fake.calls as unknown[][])).filter((call) => call[0] === name)
const focused = () =>
  page.evaluate(() => (document.activeElement?.textContent || document.activeElement?.getAttribute('aria-label')) ?? '')
const button = (name: string | RegExp) => page.getByRole('button', { name })

test('the bell says its number, opens the inbox, marks all as seen, and gives the focus back', async () => {
  await open('bell')
  const bell = button('Notifications, unread: 2')
  expect(await bell.getAttribute('aria-expanded')).toBe('false')
  await bell.focus()
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog', { name: 'Notifications' })
  await dialog.waitFor()
  expect(await bell.getAttribute('aria-expanded')).toBe('true')
  expect(await dialog.evaluate((part) => part.contains(document.activeElement))).toBe(true)
  await page.evaluate(() => fake.summary({ unread: 3, unseen: 1 }))
  await until('it was said that all is seen', async () => (await calls('seenAll')).length > 0)
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  expect(await bell.evaluate((part) => part === document.activeElement)).toBe(true)
  await bell.click()
  await dialog.waitFor()
  await page.mouse.click(470, 690)
  await dialog.waitFor({ state: 'detached' })
})

test('the inbox of a bell stays in the page, on whichever side the bell is', async () => {
  for (const story of ['bell', 'bell-at-start']) {
    await open(story)
    await button(/Notifications/).click()
    const box = await page.getByRole('dialog').boundingBox()
    expect(box && box.x >= 0 && box.x + box.width <= 480).toBe(true)
  }
})

test('more than 99 are told as such, and none are no badge', async () => {
  await open('bell-many')
  expect(await button('Notifications, unread: 99+').textContent()).toBe('99+')
  await open('bell-none')
  expect(await button('Notifications').textContent()).toBe('')
})

test('tabs are moved in with the arrows, also from right to left, and show what they say', async () => {
  await open('inbox')
  expect(await page.getByRole('article').count()).toBe(5)
  await page.getByRole('tab', { name: 'All' }).focus()
  await page.keyboard.press('ArrowRight')
  expect(await focused()).toBe('Unread')
  await until('two are unread', async () => (await page.getByRole('article').count()) === 2)
  await page.keyboard.press('ArrowLeft')
  await page.keyboard.press('ArrowLeft')
  expect(await page.getByRole('tab', { selected: true }).textContent()).toBe('Archived')
  await until('one is archived', async () => (await page.getByRole('article').count()) === 1)
  await open('page-ar')
  await page.getByRole('tab').first().focus()
  await page.keyboard.press('ArrowLeft')
  expect(await focused()).toBe('غير مقروءة')
})

test('Page Down and Page Up lead from entry to entry, Ctrl+Home and Ctrl+End out of the feed', async () => {
  await open('page-de')
  const feed = page.getByRole('feed').first()
  await feed.getByRole('article').first().focus()
  const place = () => page.evaluate(() => document.activeElement?.getAttribute('aria-posinset'))
  await page.keyboard.press('PageDown')
  await page.keyboard.press('PageDown')
  expect(await place()).toBe('3')
  await page.keyboard.press('PageUp')
  expect(await place()).toBe('2')
  const inFeed = () => feed.evaluate((part) => part.contains(document.activeElement))
  await page.keyboard.press('Control+End')
  expect([await inFeed(), await page.evaluate(() => document.activeElement?.tagName)]).toEqual([false, 'SELECT'])
  await feed.getByRole('article').first().focus()
  await page.keyboard.press('Control+Home')
  expect(await inFeed()).toBe(false)
})

test('an entry is read, confirmed, put off, archived and deleted, and what is away can be brought back', async () => {
  await open('inbox')
  const first = page.getByRole('article').first()
  await first.getByRole('button', { name: 'Mark as read' }).click()
  await first.getByRole('button', { name: 'Mark as unread' }).waitFor()
  await button('Confirm').click()
  await page.getByText('Confirmed').nth(1).waitFor()
  await first.getByRole('button', { name: 'Archive' }).click()
  await until('it is gone', async () => (await page.getByRole('article').count()) === 4)
  await button('Undo').click()
  await until('it is back', async () => (await page.getByRole('article').count()) === 5)
  await first.getByRole('button', { name: 'Delete' }).click()
  await until('it is deleted', async () => (await page.getByRole('article').count()) === 4)
  expect(await page.getByRole('status').last().textContent()).toContain('Deleted')
  await button('Undo').click()
  await until('it is back', async () => (await page.getByRole('article').count()) === 5)
  await first.getByLabel('Remind me').selectOption('oneHour')
  await until('it is put off', async () => (await calls('snooze')).length === 1)
  const [[, seq, at]] = (await calls('snooze')) as [[string, number, string]]
  expect(seq).toBe(50)
  expect(Math.abs(new Date(at).getTime() - Date.now() - 3_600_000)).toBeLessThan(60_000)
  await button('Mark all as read').click()
  await until('all are read', async () => (await calls('readAll')).length === 1)
})

test('a link marks its entry as read; one that would run a program is no link, and text is text', async () => {
  await open('inbox')
  const link = page.getByRole('link', { name: /Ana confirmed/ })
  expect(await link.getAttribute('href')).toBe('/appointments/7')
  await link.evaluate((part) => part.addEventListener('click', (event) => event.preventDefault()))
  await link.click()
  await until('it is read', async () => (await calls('read')).some((call) => call[1] === 50))
  await open('hostile')
  expect(await page.getByRole('link').count()).toBe(0)
  expect(await page.locator('img').count()).toBe(0)
  await page.getByText('<img src=x onerror=alert(1)>').waitFor()
})

test('the end of the list brings more, by itself and by a button', async () => {
  await open('inbox-more')
  await until('it was asked for more', async () => (await calls('loadMore')).length > 0)
  await button('Show more').click()
  expect((await calls('loadMore')).length).toBeGreaterThan(1)
})

test('the count is announced politely: a burst of a hundred is said once', async () => {
  await open('bell')
  const said = page.locator('.crln-bell > [role=status]')
  await page.evaluate(() => {
    const region = document.querySelector('.crln-bell > [role=status]') as HTMLElement
    const changes: number[] = []
    Object.assign(globalThis, { changes })
    new MutationObserver(() => changes.push(performance.now())).observe(region, {
      childList: true,
      characterData: true,
      subtree: true,
    })
  })
  for (let n = 0; n < 100; n += 1) await page.evaluate((unread) => fake.summary({ unread }), n % 90)
  await until('the last is said', async () => (await said.textContent())?.includes('unread: 9') === true, 30_000)
  // Once in ten seconds, however long a hundred take.
  const changes = await page.evaluate(() => (globalThis as never as { changes: number[] }).changes)
  for (const [n, at] of changes.slice(1).entries()) expect(at - changes[n]!).toBeGreaterThan(9_900)
})

test('toasts come for what preferences allow, three at a time; one question is asked for a hundred notices', async () => {
  await open('toaster')
  await page.getByText('The till is offline').waitFor()
  expect(await page.getByRole('alert').textContent()).toContain('The till is offline')
  expect(await page.getByRole('status').textContent()).toContain('Ana confirmed')
  await page.evaluate(() => {
    for (let n = 0; n < 100; n += 1) fake.notice({ title: `Order ${n}` }, 'order.paid')
  })
  await page.getByText('Order 99').waitFor()
  expect(await page.locator('.crln-toast').count()).toBe(3)
  expect((await calls('preferences.test')).filter((call) => call[1] === 'order.paid')).toHaveLength(1)
  await page.locator('.crln-toast').first().getByRole('button', { name: 'Close' }).click()
  await until('it is closed', async () => (await page.locator('.crln-toast').count()) === 2)
  await page.evaluate(() => {
    fake.preferences({ quiet: true })
    fake.notice({ title: 'In quiet hours' }, 'other.type')
  })
  await until('it was asked', async () => (await calls('preferences.test')).some((call) => call[1] === 'other.type'))
  await page.waitForTimeout(100)
  expect(await page.getByText('In quiet hours').count()).toBe(0)
})

test('toasts go by themselves, stay while somebody points at them, and urgent ones stay; nothing moves for who wants that', async () => {
  await page.emulateMedia({ reducedMotion: 'reduce' })
  // They stay for an hour, by a clock that the test moves.
  await page.clock.install()
  await open('toaster-empty')
  await page.evaluate(() => {
    fake.notice({ title: 'First' }, 'a')
    fake.notice({ title: 'Grave', priority: 'critical' }, 'a')
  })
  await page.getByText('First').hover()
  expect(
    await page
      .locator('.crln-toast')
      .first()
      .evaluate((part) => getComputedStyle(part).animationName),
  ).toBe('none')
  await page.clock.fastForward('02:00:00')
  expect(await page.getByText('First').count()).toBe(1)
  await page.mouse.move(0, 0)
  await until('it has gone', async () => {
    await page.clock.fastForward('02:00:00')
    return (await page.getByText('First').count()) === 0
  })
  expect(await page.getByText('Grave').count()).toBe(1)
})

test('the connection counts down, and is tried at once when somebody wants it', async () => {
  await open('status-waiting')
  const first = await page.locator('.crln-status').textContent()
  await until('it counts down', async () => (await page.locator('.crln-status').textContent()) !== first)
  const before = (await calls('connect')).length
  await button('Try now').click()
  await until('it is tried', async () => (await calls('connect')).length > before)
  await page.locator('.crln-status').waitFor({ state: 'detached' })
})

test('preferences: kinds, quiet hours and "do not disturb" are saved; what is mandatory cannot be switched off', async () => {
  await open('preferences')
  expect(await page.getByLabel('Alerts: Browser').isDisabled()).toBe(true)
  expect(await page.getByLabel('Payments: On the page').isChecked()).toBe(false)
  await page.getByLabel('Appointments: On the page').uncheck()
  await page.getByText('Saved').waitFor()
  const last = async () =>
    (await calls('preferences.set')).at(-1)?.[1] as { types: object; quiet_hours: object; do_not_disturb_until: string }
  expect((await last()).types).toEqual({ 'payment.*': { toast: false }, 'appointment.*': { toast: false } })
  await page.getByLabel('Sat').check()
  await page.getByLabel('From').fill('21:30')
  await button('Save').click()
  await until('quiet hours are saved', async () => (await calls('preferences.set')).length === 2)
  expect((await last()).quiet_hours).toEqual({
    zone: 'Europe/Berlin',
    ranges: [{ days: ['mon', 'tue', 'wed', 'thu', 'fri', 'sat'], from: '21:30', to: '07:00' }],
  })
  await page.getByLabel('Do not disturb').selectOption('oneHour')
  await until('it is saved', async () => (await calls('preferences.set')).length === 3)
  expect(Math.abs(Date.parse((await last()).do_not_disturb_until) - Date.now() - 3_600_000)).toBeLessThan(60_000)
})

test('a live feed shows the newest first, and can be paused without a loss', async () => {
  await open('live-feed-empty')
  await page.evaluate(() => fake.emit('order.paid', 'first'))
  await page.getByText('order.paid: first').waitFor()
  await button('Pause').click()
  await page.evaluate(() => ['second', 'third'].map((text) => fake.emit('order.paid', text)))
  await button('Resume New: 2').waitFor()
  expect(await page.getByRole('article').count()).toBe(1)
  await button(/Resume/).click()
  expect(await page.getByRole('article').allTextContents()).toEqual([
    expect.stringContaining('third'),
    expect.stringContaining('second'),
    expect.stringContaining('first'),
  ])
})

test('analytics are asked for by what is chosen', async () => {
  await open('analytics')
  await page.getByLabel('By').selectOption('hour')
  await until('it was asked by the hour', async () =>
    (await calls('request')).some((call) => (call[3] as { by?: string })?.by === 'hour'),
  )
})
