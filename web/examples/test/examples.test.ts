// Do the examples show what their teams need to see, in a real browser and against a real installation?

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launch } from '../../testing/pages.js'
import { type Stack, startStack, until } from '../../testing/stack.js'
import { serve } from '../serve.mjs'

let stack: Stack
let browser: Browser
beforeAll(async () => {
  stack = await startStack('--gateways', '2')
  browser = await launch()
}, 120_000)
afterAll(async () => {
  await browser?.close()
  await stack?.down()
})

const pictures = process.env.CARILLON_PICTURES

/** One person's browser at an example. */
async function visit(url: string, person: string): Promise<Page> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  const page = await context.newPage()
  page.on('pageerror', (error) => console.error(person, error))
  await page.goto(`${url}?as=${person}`)
  return page
}

async function example(name: string, body: (url: string) => Promise<void>) {
  const served = await serve(name, { url: stack.lb, apiKey: stack.api_key, secret: stack.jwt_secret })
  try {
    await body(served.url)
  } finally {
    for (const context of browser.contexts()) await context.close()
    served.close()
  }
}

const call = async (url: string, path: string, input: object) => {
  const answer = await fetch(url + path, { method: 'POST', body: JSON.stringify(input) })
  expect(answer.status).toBe(200)
}
const row = (page: Page, text: string) => page.getByRole('listitem').filter({ hasText: text })

test('appointments: what the bot and a colleague do is on every screen at once, also what came in a tunnel; the bell counts', () =>
  example('appointments', async (url) => {
    const [mila, jan] = await Promise.all([visit(url, 'mila'), visit(url, 'jan')])
    await Promise.all([mila, jan].map((page) => row(page, 'Ana Ruiz').waitFor()))
    await call(url, 'api/bot', { client: 'Lena Weiss', at: '10:15' })
    await Promise.all([mila, jan].map((page) => row(page, '10:15 Lena Weiss').waitFor()))
    // A toast, a count and the conversation; the bell is for admins.
    await mila.getByText('Lena Weiss asks for 10:15').first().waitFor()
    await mila.getByRole('button', { name: 'Notifications, unread: 1' }).waitFor()
    expect(await jan.getByRole('button', { name: /unread/ }).count()).toBe(0)
    await jan.getByText('Lena Weiss: an appointment at 10:15, please').waitFor()
    // What a colleague decides.
    await row(jan, 'Lena Weiss').getByRole('button', { name: 'Confirm' }).click()
    await row(mila, 'Lena Weiss').getByText('confirmed').waitFor()
    // A train tunnel.
    await jan.context().setOffline(true)
    await call(url, 'api/bot', { client: 'Tom Berg', at: '12:45' })
    await row(mila, 'Ana Ruiz').getByRole('button', { name: 'Cancel' }).click()
    await row(mila, 'Tom Berg').waitFor()
    await jan.context().setOffline(false)
    await row(jan, 'Tom Berg').waitFor()
    await row(jan, 'Ana Ruiz').getByText('cancelled').waitFor()
    // After a reload everything is there, once.
    await jan.reload()
    await row(jan, 'Tom Berg').waitFor()
    expect(await row(jan, 'Tom Berg').count()).toBe(1)
    await until('two people are seen', async () => (await mila.getByLabel('Here: 2').count()) === 1)
    await until(
      'analytics count',
      async () => (await mila.getByRole('row').filter({ hasText: 'appointment.created' }).count()) === 1,
      20_000,
    )
    if (pictures) await mila.screenshot({ path: `${pictures}/appointments.png` })
  }))
