// Where does a test get the pages of the examples, and a browser that forgives nothing?

import type { Browser, Page } from 'playwright-core'
import { launch } from '../../testing/pages.js'
import type { Stack } from '../../testing/stack.js'

export interface Site {
  open(name: string): Promise<Visit>
  close(): Promise<void>
}

/** A page, and everything that its console and its scripts complained of. */
export interface Visit {
  page: Page
  faults: string[]
  /** The gateway that its newest connection is at, by the first welcome of that connection. */
  node(): string
  /** WebSockets that are open now. */
  sockets(): number
}

/** The pages as `carillon up --examples` serves them. */
export async function startSite(stack: Stack): Promise<Site> {
  const { examples } = stack
  if (!examples) throw new Error('the stack serves no examples')
  const browser = await launch()
  return { open: (name) => visit(browser, `${examples}${name}/`), close: () => browser.close() }
}

async function visit(browser: Browser, address: string): Promise<Visit> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  const faults: string[] = []
  let [node, sockets] = ['', 0]
  // An answer that took the log too long is no fault of the page, which has asked and was told so; any other 503 is.
  // The browser tells of such an answer before or after its body was read.
  const slow: string[] = []
  page.on('response', async (answer) => {
    if (answer.status() !== 503 || (await answer.json().catch(() => null))?.code !== 'too_slow') return
    const told = faults.findIndex((text) => text.startsWith('Failed to load resource') && text.includes(' 503 '))
    if (told >= 0) faults.splice(told, 1)
    else slow.push(answer.url())
  })
  page.on('console', (message) => {
    if (message.type() !== 'error' && message.type() !== 'warning') return
    if (message.text().startsWith('carillon CarillonError: the log took more than two seconds')) return
    const at = slow.indexOf(message.location().url)
    if (at >= 0) slow.splice(at, 1)
    else faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(`${error.stack}`))
  page.on('websocket', (socket) => {
    sockets++
    socket.on('close', () => sockets--)
    socket.on('framereceived', ({ payload }) => {
      const frame = JSON.parse(String(payload))
      if (frame.type === 'welcome') node = frame.node
    })
  })
  await page.goto(address)
  await page.getByText('Connected', { exact: true }).first().waitFor()
  return { page, faults, node: () => node, sockets: () => sockets }
}
