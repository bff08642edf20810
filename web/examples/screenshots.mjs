// Takes the pictures in the READMEs of the examples: `node screenshots.mjs http://127.0.0.1:PORT/`, while `carillon up --examples` has run for a minute.

import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const [base] = process.argv.slice(2)
if (!base) throw new Error('usage: node screenshots.mjs http://127.0.0.1:PORT/')
const browser = await chromium.launch({
  executablePath: process.env.CARILLON_CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox'],
})
for (const name of ['appointments', 'crm', 'leads', 'shop', 'school']) {
  const page = await browser.newPage({ viewport: { width: 1120, height: 700 }, colorScheme: 'light' })
  page.on('console', (message) => message.type() === 'error' && console.error(`${name}: ${message.text()}`))
  page.on('pageerror', (error) => console.error(`${name}: ${error.message}`))
  await page.goto(`${base}${name}/`)
  await page.getByText('Connected', { exact: true }).first().waitFor()
  // A few events, so that the picture shows more than the past.
  await page.waitForTimeout(8000)
  await page.screenshot({ path: fileURLToPath(new URL(`${name}/screenshot.png`, import.meta.url)), animations: 'disabled' })
  await page.close()
}
await browser.close()
