// Where does a test get the pages of the examples, and a browser that forgives nothing?

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
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
}

export async function startSite(stack: Stack): Promise<Site> {
  const server = spawn(process.execPath, [fileURLToPath(new URL('../serve.mjs', import.meta.url))], {
    env: {
      ...process.env,
      CARILLON_URL: stack.lb,
      CARILLON_API_KEY: stack.api_key,
      CARILLON_JWT_SECRET: stack.jwt_secret,
      PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const address = await firstLine(server)
  const browser = await launch()
  return {
    open: (name) => visit(browser, `${address}${name}/`),
    async close() {
      await browser.close()
      server.kill()
      if (server.exitCode === null) await once(server, 'exit')
    },
  }
}

async function firstLine(server: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: server.stdout! })) return line
  throw new Error('the server of the examples has ended')
}

async function visit(browser: Browser, address: string): Promise<Visit> {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  const faults: string[] = []
  let node = ''
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') faults.push(message.text())
  })
  page.on('pageerror', (error) => faults.push(`${error.stack}`))
  page.on('websocket', (socket) =>
    socket.on('framereceived', ({ payload }) => {
      const frame = JSON.parse(String(payload))
      if (frame.type === 'welcome') node = frame.node
    }),
  )
  await page.goto(address)
  await page.getByText('Connected', { exact: true }).first().waitFor()
  return { page, faults, node: () => node }
}
