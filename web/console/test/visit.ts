// Where does a test get the console, and a browser that forgives nothing?

import { mkdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Browser, BrowserContext, BrowserContextOptions, Page } from 'playwright-core'
import { expect } from 'vitest'
import type { Stack } from '../../testing/stack.js'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
/** Screenshots go here when somebody wants to look at them. */
const pictures = process.env.CARILLON_PICTURES
/** A folder that `vite build` wrote: its files instead of those in the publisher, which then need not be compiled after each change. */
const built = process.env.CARILLON_CONSOLE_FILES

export interface Visit {
  readonly page: Page
  readonly context: BrowserContext
  /** Everything that the browser's console and the scripts complained of: of a strict policy, too. */
  readonly faults: string[]
  close(): Promise<void>
}

/** Opens the console in a browser of its own, and signs in with these credentials. */
export async function visit(
  browser: Browser,
  stack: Stack,
  path: string,
  credentials: string | null = stack.api_key,
  options: BrowserContextOptions = {},
): Promise<Visit> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, reducedMotion: 'reduce', ...options })
  if (built) await serveBuilt(context, built)
  const page = await context.newPage()
  const faults: string[] = []
  page.on('console', (message) => {
    // That a request was refused is told by the browser, too; the page shows it.
    if (['error', 'warning'].includes(message.type()) && !message.text().startsWith('Failed to load resource'))
      faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(`${error.stack}`))
  await page.goto(`${stack.lb}/console${path}`)
  if (credentials !== null) await signIn(page, credentials)
  return { page, context, faults, close: () => context.close() }
}

async function serveBuilt(context: BrowserContext, folder: string) {
  await context.route('**/console/assets/**', (route) =>
    route.fulfill({ path: join(folder, new URL(route.request().url()).pathname.replace('/console/', '')) }),
  )
  await context.route(
    (url) =>
      url.pathname === '/console' || (url.pathname.startsWith('/console/') && !url.pathname.startsWith('/console/assets/')),
    async (route) => {
      const answer = await route.fetch()
      await route.fulfill({ response: answer, body: readFileSync(join(folder, 'index.html'), 'utf8') })
    },
  )
}

export async function signIn(page: Page, credentials: string, options: { keep?: boolean } = {}) {
  await fillSignIn(page, credentials, options)
  await page.getByRole('navigation', { name: 'Pages' }).waitFor({ state: 'attached' })
}

/** Fills the form and sends it. */
export async function fillSignIn(page: Page, credentials: string, { keep = false } = {}) {
  await page.getByLabel('API key or user token').fill(credentials)
  await page.getByLabel('Keep me signed in').setChecked(keep)
  await page.getByRole('button', { name: 'Sign in' }).click()
}

/** From now on requests to this address wait for an answer, until they are released. */
export async function hold(page: Page, address: string | RegExp): Promise<() => void> {
  let release = () => {}
  const released = new Promise<void>((done) => {
    release = done
  })
  await page.route(address, async (route) => {
    await released
    // One that the page has given up meanwhile needs no answer.
    await route.fallback().catch(() => {})
  })
  return release
}

interface Violation {
  id: string
  nodes: { html: string; failureSummary?: string }[]
}

/** What axe finds. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe)
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

/** The page as it is now: axe finds nothing in light and dark, and nothing is wider than the page at 360, 768 and 1440 px. */
export async function lookAt({ page }: Visit, name: string) {
  const faults: string[] = []
  const before = page.viewportSize()!
  for (const width of [360, 768, 1440]) {
    await page.setViewportSize({ width, height: 900 })
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme })
      if (width !== 768) faults.push(...(await violations(page)).map((fault) => `${name}, ${width} px, ${colorScheme}: ${fault}`))
      if (pictures) {
        mkdirSync(pictures, { recursive: true })
        await page.screenshot({ path: join(pictures, `${name}-${width}-${colorScheme}.png`) })
      }
    }
    if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth))
      faults.push(`${name}: wider than ${width} px`)
  }
  await page.emulateMedia({ colorScheme: 'light' })
  await page.setViewportSize(before)
  expect(faults).toEqual([])
}
