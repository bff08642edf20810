// Does axe find nothing in any part, in any state, in both colour schemes?

import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { launch, type Pages, servePage } from '../../testing/pages.js'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Screenshots go here when somebody wants to look at them. */
const pictures = process.env.CARILLON_PICTURES

let browser: Browser
let pages: Pages
beforeAll(async () => {
  pages = await servePage('/stories.tsx', import.meta.dirname)
  browser = await launch()
})
afterAll(async () => {
  await browser?.close()
  await pages?.close()
})

interface Violation {
  id: string
  nodes: { html: string; failureSummary?: string }[]
}

async function violations(page: Page): Promise<string[]> {
  const found = await page.evaluate(() =>
    (globalThis as unknown as { axe: { run(options: object): Promise<{ violations: Violation[] }> } }).axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
      rules: { 'target-size': { enabled: true } },
    }),
  )
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary ?? ''}`),
  )
}

test('in the light and in the dark scheme', async () => {
  const context = await browser.newContext({ viewport: { width: 480, height: 900 }, reducedMotion: 'reduce' })
  const page = await context.newPage()
  const said: string[] = []
  const faults: string[] = []
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && said.push(message.text()))
  page.on('pageerror', (error) => said.push(String(error)))
  await page.goto(pages.url)
  const names = await page.evaluate(() => (globalThis as unknown as { storyNames: string[] }).storyNames)
  expect(names.length).toBeGreaterThan(30)
  let looks = 0
  for (const name of names) {
    await page.emulateMedia({ colorScheme: 'light' })
    await page.goto(`${pages.url}?story=${name}`)
    await page.waitForSelector('body[data-drawn]', { state: 'attached' })
    if (name === 'bell') await page.getByRole('button', { name: /Notifications/ }).click()
    await page.evaluate(axe)
    for (const scheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme: scheme })
      if (pictures) {
        mkdirSync(pictures, { recursive: true })
        await page.screenshot({ path: join(pictures, `${name}-${scheme}.png`), fullPage: true })
      }
      faults.push(...(await violations(page)).map((fault) => `${name}, ${scheme}: ${fault}`))
      looks += 1
    }
    // Nothing is wider than the page.
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)) faults.push(`${name}: wider than the page`)
  }
  expect([...faults, ...said]).toEqual([])
  console.log(`axe found nothing in ${names.length} stories, looked at ${looks} times`)
  await context.close()
}, 180_000)

test('a scheme of its own wins over that of the system', async () => {
  const context = await browser.newContext({ colorScheme: 'light' })
  const page = await context.newPage()
  await page.goto(`${pages.url}?story=inbox&scheme=dark&own-scheme`)
  await page.waitForSelector('body[data-drawn]', { state: 'attached' })
  await page.evaluate(axe)
  expect(await violations(page)).toEqual([])
  expect(await page.locator('.crln-inbox').evaluate((part) => getComputedStyle(part).backgroundColor)).toBe('rgb(22, 24, 29)')
  await context.close()
})
