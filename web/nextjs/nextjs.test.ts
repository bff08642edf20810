// Does a page of the newest Next.js show at once what the server rendered, and then everything that has come since, once?
//
// `CARILLON_NEXTJS` names the folder where it is installed with the packages. Started by run.sh.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Browser } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { launch } from '../testing/pages.js'
import { freePort, type Stack, startStack, until } from '../testing/stack.js'

const folder = process.env.CARILLON_NEXTJS!
const next = `${folder}/node_modules/.bin/next`

let stack: Stack
let browser: Browser
let tests = 0
let tenant: string

beforeAll(async () => {
  stack = await startStack()
  browser = await launch()
  const { version } = JSON.parse(readFileSync(`${folder}/node_modules/next/package.json`, 'utf8'))
  console.log(`Next.js ${version}`)
})
afterAll(async () => {
  await browser?.close()
  await stack?.down()
})
beforeEach(() => {
  tenant = `next-${++tests}`
})

const publish = async (...ids: number[]) => {
  for (const id of ids) {
    const body = { tenant, type: 'appointment.booked', channel: 'branch:1', key: `row:${id}`, data: { id, at: `at ${id}` } }
    const headers = { authorization: `Bearer ${stack.api_key}`, 'content-type': 'application/json' }
    const answer = await fetch(`${stack.lb}/v1/events`, { method: 'POST', headers, body: JSON.stringify(body) })
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`)
  }
}

describe.each(['start', 'dev'])('next %s', (mode) => {
  let server: ChildProcess
  let origin: string
  let log = ''

  beforeAll(async () => {
    const environment = { CARILLON_URL: stack.lb, CARILLON_API_KEY: stack.api_key, CARILLON_JWT_SECRET: stack.jwt_secret }
    const options = { cwd: folder, env: { ...process.env, NODE_ENV: undefined, ...environment } as never }
    if (mode === 'start') execFileSync(next, ['build'], { ...options, stdio: 'pipe' })
    const port = `${await freePort()}`
    origin = `http://localhost:${port}`
    server = spawn(process.execPath, [next, mode, '-p', port, '-H', 'localhost'], { ...options, stdio: 'pipe' })
    for (const stream of [server.stdout, server.stderr]) stream!.on('data', (text) => (log += text))
    await until(
      'the server',
      () =>
        fetch(`${origin}/favicon.ico`).then(
          () => true,
          () => false,
        ),
      60_000,
    )
  }, 240_000)
  afterAll(() => server?.kill())

  test('what the server rendered is shown and kept, and what comes before and after the page is alive comes once, over one socket', async () => {
    await publish(1, 2)
    const html = await (await fetch(`${origin}/?tenant=${tenant}`)).text()
    expect(html).toContain('<li>at 1</li><li>at 2</li>')

    const context = await browser.newContext()
    const page = await context.newPage()
    const faults: string[] = []
    const sockets: string[] = []
    page.on('console', (message) => ['error', 'warning'].includes(message.type()) && faults.push(message.text()))
    page.on('pageerror', (error) => faults.push(`${error}`))
    page.on('websocket', (socket) => socket.url().includes('/v1/ws') && sockets.push(socket.url()))
    // Between the rows and the connection there is time for more of them: the page's scripts wait for it.
    let published = () => {}
    const waits = new Promise<void>((resolve) => {
      published = resolve
    })
    await page.route('**/*.js*', async (route) => {
      await waits
      await route.continue()
    })
    await page.goto(`${origin}/?tenant=${tenant}`, { waitUntil: 'commit' })
    const rows = page.getByLabel('Appointments').getByRole('listitem')
    await rows.nth(1).waitFor()
    expect(await page.getByText('connecting').count()).toBe(1)
    await publish(3, 2)
    published()
    await page.getByText('connected').waitFor({ timeout: 60_000 })
    await until('what came meanwhile', async () => (await rows.allInnerTexts()).length === 3, 20_000)
    await publish(4)
    await until('what comes now', async () => (await rows.allInnerTexts()).length === 4, 20_000)
    expect(await rows.allInnerTexts()).toEqual(['at 1', 'at 3', 'at 2', 'at 4'])
    expect(await page.getByLabel('Appointments').getAttribute('data-status')).toBe('live')
    await until('the handler has it', async () => (await page.evaluate('(window.heard ?? []).includes(4)')) as boolean)
    expect(await page.evaluate('window.heard.filter((id) => id === 4)')).toEqual([4])
    expect([faults, sockets.length]).toEqual([[], 1])
    expect(log).not.toMatch(/hydrat|⨯|Warning:/i)
    await context.close()
  })
})
