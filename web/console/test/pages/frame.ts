// Who gets in, what stands around every page, and what happens when a session or the API goes away?

import { token } from '@carillon/server'
import type { Route } from 'playwright-core'
import { expect, test } from 'vitest'
import { until } from '../../../testing/stack.js'
import type { Given } from '../console.test.js'
import { rest } from '../rest.js'
import { fillSignIn, hold, lookAt, signIn, visit } from '../visit.js'

export function frame(given: Given) {
  const post = async (path: string, body: object | undefined) => {
    const { lb, api_key } = given.stack
    const headers = { authorization: `Bearer ${api_key}`, ...(body && { 'content-type': 'application/json' }) }
    const answer = await fetch(lb + path, { method: 'POST', headers, ...(body && { body: JSON.stringify(body) }) })
    expect(answer.status).toBe(201)
    return answer.json()
  }

  test('is served with a strict policy, nothing is inline, and its files are kept by their names', async () => {
    const { lb } = given.stack
    const page = await fetch(`${lb}/console`)
    const policy = page.headers.get('content-security-policy') ?? ''
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).not.toContain('unsafe')
    expect(page.headers.get('x-content-type-options')).toBe('nosniff')
    const html = await page.text()
    expect(html).not.toMatch(/<style|<script>|style=|onload=/)
    const script = /src="([^"]+\.js)"/.exec(html)?.[1] ?? ''
    const answer = await fetch(new URL(script, lb), { headers: { 'accept-encoding': 'gzip' } })
    expect([answer.status, answer.headers.get('content-encoding')]).toEqual([200, 'gzip'])
    expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect((await fetch(`${lb}/console/assets/index-gone.js`)).status).toBe(404)
  })

  test('loads at most 250 KiB before the overview is there', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/', null)
    await signIn(there.page, stack.api_key)
    await there.page.getByText('Connections', { exact: true }).first().waitFor()
    await there.page.locator('canvas').first().waitFor()
    const sizes = await there.page.evaluate(() =>
      performance.getEntriesByType('resource').map((entry) => {
        const { name, encodedBodySize } = entry as PerformanceResourceTiming
        return [new URL(name).pathname, encodedBodySize] as const
      }),
    )
    const files = sizes.filter(([path]) => path.startsWith('/console/'))
    const total = files.reduce((sum, [, size]) => sum + size, 0)
    console.log(`console: ${(total / 1024).toFixed(1)} KiB in ${files.length} files with the overview`)
    expect(files.length).toBeGreaterThan(4)
    expect(total).toBeGreaterThan(50 * 1024)
    expect(total).toBeLessThan(250 * 1024)
    await there.close()
  })

  test('signs in with a key, refuses what is none in words, and keeps neither in the URL nor in storage', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/?tenant=frame', null)
    const { page } = there
    await lookAt(there, 'sign-in')
    await page.getByLabel('API key or user token').fill('crln_00_nobody')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('There is no such API key').waitFor()
    await signIn(page, stack.api_key)
    const held = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]),
    )
    expect(held).not.toContain('crln_')
    expect(page.url()).toContain('tenant=frame')
    await page.getByRole('button', { name: 'Sign out' }).click()
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('keeps a session of a key in a cookie that no script reads, hears events with it, and ends with the key', async () => {
    const { browser, stack } = given
    const key = (await post('/v1/api-keys?tenant=frame', { scopes: ['read'] })) as { id: string; key: string }
    const there = await visit(browser, stack, '/tail?tenant=frame', null)
    const { page, context } = there
    await signIn(page, key.key, { keep: true })
    await page.getByText('Connected', { exact: true }).waitFor()
    await page.getByText('Read-only').waitFor()
    const [cookie] = await context.cookies()
    expect(cookie).toMatchObject({ name: 'carillon_console', httpOnly: true, sameSite: 'Strict' })
    const held = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]),
    )
    expect(held).not.toContain('crln_')
    // Not the key itself, which is good for longer.
    expect(key.key).not.toContain(cookie?.value.split('_').at(-1))
    await page.reload()
    await page.getByText('Connected', { exact: true }).waitFor()
    await post('/v1/events', { tenant: 'frame', type: 'kept.session', channel: 'kept' })
    await page.getByRole('listbox').getByText('kept.session').waitFor()
    // What another page or a form makes the browser send has the cookie and not the header.
    const status = (headers: Record<string, string>) =>
      fetch(`${stack.lb}/v1/stats`, { headers: { cookie: `carillon_console=${cookie?.value}`, ...headers } }).then(
        (answer) => answer.status,
      )
    expect(await status({})).toBe(401)
    expect(await status({ 'carillon-console': '1', 'sec-fetch-site': 'cross-site' })).toBe(401)
    expect(await status({ 'carillon-console': '1' })).toBe(200)
    await fetch(`${stack.lb}/v1/api-keys/${key.id}?tenant=frame`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${stack.api_key}` },
    })
    await page.goto(`${stack.lb}/console?tenant=frame`)
    await page.getByRole('button', { name: 'Sign in' }).waitFor({ timeout: 20_000 })
    expect(await status({ 'carillon-console': '1' })).toBe(401)
    await there.close()
  })

  test('a link signs in once, and its code is gone from the address', async () => {
    const { browser, stack } = given
    const { path } = (await post('/v1/console/links', undefined)) as { path: string }
    const address = path.replace('/console', '')
    const there = await visit(browser, stack, address, null)
    await there.page.getByRole('heading', { name: 'Overview' }).waitFor()
    expect(there.page.url()).not.toContain('code')
    const other = await visit(browser, stack, address, null)
    await other.page.getByText('This link works once').waitFor()
    await lookAt(other, 'link-used')
    expect([...there.faults, ...other.faults]).toEqual([])
    await there.page.getByRole('button', { name: 'Sign out' }).click()
    await there.page.getByRole('button', { name: 'Sign in' }).waitFor()
    expect(await there.context.cookies()).toEqual([])
    await there.close()
    await other.close()
  })

  test('signing out ends the session and the sockets of every tab, and one key or another takes the place of the session in all', async () => {
    const { browser, stack } = given
    const one = (await post('/v1/api-keys?tenant=tabs', { scopes: ['read'] })) as { id: string; key: string }
    const other = (await post('/v1/api-keys?tenant=tabs', { scopes: ['read'] })) as { id: string; key: string }
    const connected = async () => (await rest(stack, 'GET', '/v1/connections?tenant=tabs')).body.connections.length as number
    const there = await visit(browser, stack, '/tail', null)
    await signIn(there.page, one.key, { keep: true })
    await there.page.getByText('Connected', { exact: true }).waitFor()
    const second = await there.context.newPage()
    await second.goto(`${stack.lb}/console/tail`)
    await second.getByText('Connected', { exact: true }).waitFor()
    await until('each has a socket', async () => (await connected()) === 2, 15_000)
    // A third has a key of its own in memory, and no part in the session.
    const third = await there.context.newPage()
    await third.goto(`${stack.lb}/console/tail`)
    await third.getByRole('button', { name: 'Sign out' }).click()
    await there.page.getByRole('button', { name: 'Sign in' }).waitFor()
    await second.getByRole('button', { name: 'Sign in' }).waitFor()
    await until('the sockets end', async () => (await connected()) === 0, 15_000)
    await signIn(third, one.key)
    await signIn(there.page, one.key, { keep: true })
    await signIn(second, one.key, { keep: true })
    await there.page.getByTitle(one.id).waitFor()
    const fourth = await there.context.newPage()
    const { path } = await fetch(`${stack.lb}/v1/console/links`, {
      method: 'POST',
      headers: { authorization: `Bearer ${other.key}` },
    }).then((answer) => answer.json() as Promise<{ path: string }>)
    await fourth.goto(stack.lb + path)
    await second.getByTitle(other.id).waitFor()
    await there.page.getByTitle(other.id).waitFor()
    await second.getByRole('button', { name: 'Sign out' }).click()
    await there.page.getByRole('button', { name: 'Sign in' }).waitFor()
    await third.getByText('Connected', { exact: true }).waitFor()
    expect(await third.getByTitle(one.id).count()).toBe(1)
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('an answer that was asked for under the session before neither takes the place of the present one nor ends it', async () => {
    const { browser, stack } = given
    const made = () => post('/v1/api-keys?tenant=turns', { scopes: ['read'] }) as Promise<{ id: string; key: string }>
    const [one, other, newest] = [await made(), await made(), await made()]
    const there = await visit(browser, stack, '/', null)
    const { page } = there
    await signIn(page, one.key, { keep: true })
    await page.getByTitle(one.id).waitFor()
    const opened = async (key: string) => {
      const { path } = (await rest(stack, 'POST', '/v1/console/links', undefined, key)).body
      await (await there.context.newPage()).goto(stack.lb + path)
    }
    let release = () => {}
    const released = new Promise<void>((done) => {
      release = done
    })
    const asked: string[] = []
    /** The next request to it is answered now, and the page gets the answer when it is released. */
    const late = (address: string, answer: (route: Route) => Promise<Parameters<Route['fulfill']>[0]>) =>
      page.route(
        address,
        async (route) => {
          const told = await answer(route)
          asked.push(address)
          await released
          await route.fulfill(told)
        },
        { times: 1 },
      )
    const refusal = { code: 'credentials_invalid', detail: 'of the key before', status: 401 }
    await late('**/v1/stats?**', async () => ({
      status: 401,
      contentType: 'application/problem+json',
      body: JSON.stringify(refusal),
    }))
    await until('something is asked for', () => asked.length === 1)
    await late('**/v1/console/session', async (route) => ({ response: await route.fetch() }))
    await opened(other.key)
    await until('who it is now is asked for', () => asked.length === 2)
    await opened(newest.key)
    await page.getByTitle(newest.id).waitFor()
    const told = Promise.all(['**/v1/stats?**', '**/v1/console/session'].map((address) => page.waitForResponse(address)))
    release()
    for (const answer of await told) await answer.finished()
    // The next answer is one that was asked for after them.
    await page.waitForResponse('**/v1/stats?**')
    expect(await page.getByTitle(newest.id).count()).toBe(1)
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('of two sign-ins the one that was begun last is the session in all tabs, however long the other takes', async () => {
    const { browser, stack } = given
    const made = () => post('/v1/api-keys?tenant=two', { scopes: ['read'] }) as Promise<{ id: string; key: string }>
    const [slow, last] = [await made(), await made()]
    const there = await visit(browser, stack, '/', null)
    const other = await there.context.newPage()
    await other.goto(`${stack.lb}/console`)
    const release = await hold(there.page, '**/v1/console/session')
    await fillSignIn(there.page, slow.key, { keep: true })
    await there.page.getByRole('button', { name: 'Signing in' }).waitFor()
    await fillSignIn(other, last.key, { keep: true })
    // It is under way, whether it waits for the first one or not.
    await Promise.race([
      other.getByRole('button', { name: 'Signing in' }).waitFor(),
      other.getByRole('navigation', { name: 'Pages' }).waitFor({ state: 'attached' }),
    ])
    release()
    for (const page of [other, there.page]) await page.getByTitle(last.id).waitFor()
    await there.page.reload()
    await there.page.getByTitle(last.id).waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('a link that is opened where the console is already signs in there', async () => {
    const { browser, stack } = given
    const key = (await post('/v1/api-keys?tenant=two', { scopes: ['read'] })) as { id: string; key: string }
    const there = await visit(browser, stack, '', null)
    const { page } = there
    await page.getByRole('button', { name: 'Sign in' }).waitFor()
    await page.evaluate('globalThis.isSamePage = true')
    const { path } = (await rest(stack, 'POST', '/v1/console/links', undefined, key.key)).body
    await page.goto(stack.lb + path)
    await page.getByTitle(key.id).waitFor()
    expect([page.url().includes('code'), await page.evaluate('globalThis.isSamePage')]).toEqual([false, true])
    // Another fragment signs nobody out.
    await page.evaluate(`location.hash = 'main'`)
    await page.reload()
    await page.getByTitle(key.id).waitFor()
    await page.goto(stack.lb + path)
    await page.getByText('This link works once').waitFor()
    expect(there.faults).toEqual([])
    await there.close()
  })

  test('says so when the API does not answer and the session therefore goes on', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/', null)
    await signIn(there.page, stack.api_key, { keep: true })
    const second = await there.context.newPage()
    await second.goto(`${stack.lb}/console/`)
    await second.getByRole('button', { name: 'Sign out' }).waitFor()
    const told: string[] = []
    await second.exposeFunction('told', (what: string) => told.push(what))
    await second.evaluate(`new BroadcastChannel('carillon-console').onmessage = ({ data }) => told(data)`)
    await there.context.setOffline(true)
    await there.page.getByRole('button', { name: 'Sign out' }).click()
    await there.page.getByText('your session goes on').waitFor()
    await there.context.setOffline(false)
    await there.page.reload()
    await there.page.getByRole('button', { name: 'Sign out' }).waitFor()
    // The other tab is signed in as before, and hears of the end once it has come.
    expect(told).toEqual([])
    await second.getByRole('button', { name: 'Sign out' }).waitFor()
    await there.page.getByRole('button', { name: 'Sign out' }).click()
    await there.page.getByRole('button', { name: 'Sign in' }).waitFor()
    await second.getByRole('button', { name: 'Sign in' }).waitFor()
    await until('the end is told', () => told.length > 0, 15_000)
    expect(told).toEqual(['ended'])
    expect(await there.context.cookies()).toEqual([])
    await there.close()
  })

  test("an administrator's token sees its tenant and no other; who is none is told why", async () => {
    const { browser, stack } = given
    const made = (caps: string[]) => token({ secret: stack.jwt_secret, user: 'ada', tenant: 'frame', caps })
    const there = await visit(browser, stack, '/', await made(['admin']))
    await there.page.locator('.tenant.fixed').getByText('frame', { exact: true }).waitFor()
    await there.page.getByText('What frame uses').waitFor()
    await there.close()
    const other = await visit(browser, stack, '/', null)
    await other.page.getByLabel('API key or user token').fill(await made([]))
    await other.page.getByRole('button', { name: 'Sign in' }).click()
    await other.page.getByText('may not look at anything here').waitFor()
    await other.close()
  })

  test('works with the keyboard alone', async () => {
    const { browser, stack } = given
    const { page, close } = await visit(browser, stack, '/', null)
    await page.getByLabel('API key or user token').waitFor()
    await page.keyboard.type(stack.api_key)
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    const focused = () => page.evaluate(() => document.activeElement?.textContent?.trim() || document.activeElement?.id)
    await page.keyboard.press('Tab')
    expect(await focused()).toBe('Skip to the page')
    await page.keyboard.press('Enter')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('main')
    await page.getByRole('navigation').getByRole('link', { name: 'Overview' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { name: 'Overview' }).waitFor()
    await close()
  })

  test('says that the API is away, shows what it knew, and comes back by itself', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/')
    await there.page.getByText('takes events').first().waitFor()
    await there.context.setOffline(true)
    await there.page.getByText('The API does not answer').first().waitFor({ timeout: 20_000 })
    await there.page.getByText('takes events').first().waitFor()
    await lookAt(there, 'api-away')
    await there.context.setOffline(false)
    await there.page.getByText('The API does not answer').first().waitFor({ state: 'detached', timeout: 20_000 })
    await there.close()
  })

  test('a session that ends asks to sign in again, and goes on where it was', async () => {
    const { browser, stack } = given
    const there = await visit(browser, stack, '/?tenant=frame')
    await there.page.getByText('What frame uses').waitFor()
    await there.page.route('**/v1/**', (route) =>
      route.fulfill({
        status: 401,
        contentType: 'application/problem+json',
        body: JSON.stringify({ code: 'credentials_invalid', detail: 'ended', status: 401 }),
      }),
    )
    await there.page.getByText('Your session has ended').waitFor({ timeout: 20_000 })
    await lookAt(there, 'session-ended')
    await there.page.unroute('**/v1/**')
    await signIn(there.page, stack.api_key)
    await there.page.getByText('What frame uses').waitFor()
    await there.close()
  })
}
