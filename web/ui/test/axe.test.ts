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

test.each(['light', 'dark'] as const)(
  'in the %s scheme',
  async (scheme) => {
    const context = await browser.newContext({
      colorScheme: scheme,
      bypassCSP: false,
      viewport: { width: 480, height: 900 },
      reducedMotion: 'reduce',
    })
    const page = await context.newPage()
    const said: string[] = []
    const faults: string[] = []
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && said.push(message.text()))
    page.on('pageerror', (error) => said.push(String(error)))
    await page.goto(pages.url)
    const names = await page.evaluate(() => (globalThis as unknown as { storyNames: string[] }).storyNames)
    expect(names.length).toBeGreaterThan(30)
    for (const name of names) {
      await page.goto(`${pages.url}?story=${name}&scheme=${scheme}`)
      await page.waitForSelector('body[data-drawn]', { state: 'attached' })
      if (name === 'bell') await page.getByRole('button', { name: /Notifications/ }).click()
      if (pictures) {
        mkdirSync(pictures, { recursive: true })
        await page.screenshot({ path: join(pictures, `${name}-${scheme}.png`), fullPage: true })
      }
      await page.evaluate(axe)
      faults.push(...(await violations(page)).map((fault) => `${name}: ${fault}`))
      // Nothing is wider than the page.
      if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth))
        faults.push(`${name}: wider than the page`)
    }
    expect([...faults, ...said]).toEqual([])
    await context.close()
  },
  180_000,
)

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
