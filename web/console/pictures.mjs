// Takes the console's pictures for the README: `node pictures.mjs http://127.0.0.1:PORT KEY`, while `carillon up` with its demo has run for some minutes.
//
// Overview and live tail, 1440 × 900. `--dark FOLDER` takes them in the dark scheme, into that folder, to be looked at.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const [base, key, dark, into] = process.argv.slice(2)
if (!base || !key) throw new Error('usage: node pictures.mjs http://127.0.0.1:PORT KEY [--dark FOLDER]')
const folder = dark ? into : fileURLToPath(new URL('../../docs/', import.meta.url))
const browser = await chromium.launch({
  executablePath: process.env.CARILLON_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
})
const context = await browser.newContext({
  viewport: { width: 1440, height: 900 },
  colorScheme: dark ? 'dark' : 'light',
  reducedMotion: 'reduce',
})
const page = await context.newPage()
page.on('pageerror', (error) => console.error(error.message))
await page.goto(`${base}/console`)
await page.getByLabel('API key or user token').fill(key)
await page.getByRole('button', { name: 'Sign in' }).click()
await page.getByRole('heading', { name: 'Overview' }).waitFor()
await page.locator('canvas').first().waitFor()
// The lines of the charts grow with what is heard.
await page.waitForTimeout(45_000)
await page.screenshot({ path: join(folder, 'console-overview.png') })
const tenant = 'studio-nova'
await page.getByRole('navigation').getByRole('link', { name: 'Live tail' }).click()
const field = page.getByRole('main').getByRole('combobox').or(page.getByRole('main').getByRole('textbox')).first()
await field.fill(tenant)
await field.press('Enter')
await page.getByText('Connected', { exact: true }).waitFor()
await page.waitForTimeout(20_000)
const rows = page.getByRole('listbox').getByRole('option')
await rows.nth(3).click()
await page.waitForTimeout(1_000)
await page.screenshot({ path: join(folder, 'console-tail.png') })
await browser.close()
