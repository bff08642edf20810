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

/** What is said of an answer that a log gives whose machine does much else: the page has asked, and was told why not. */
const isBusy = (text: string) =>
  text.startsWith('Failed to load resource: the server responded with a status of 503') ||
  text.startsWith('carillon CarillonError: the log took more than two seconds')

async function visit(browser: Browser, address: string): Promise<Visit> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  const faults: string[] = []
  let [node, sockets] = ['', 0]
  page.on('console', (message) => {
    if ((message.type() === 'error' || message.type() === 'warning') && !isBusy(message.text())) faults.push(message.text())
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
