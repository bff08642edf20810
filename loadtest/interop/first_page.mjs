// Does the page of the README work as it was pasted, and do its programs make tokens?
//
// The page is taken from README.md and opened from a file, as somebody does who tries it; only its address and its token are put in.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

import { chromium } from 'playwright-core'

import { Checks, until } from './checks.mjs'
import { kill, need, publish, stack } from './stack.mjs'

const root = new URL('../../', import.meta.url)
const readme = readFileSync(new URL('README.md', root), 'utf8')
const example = (name) => readFileSync(new URL(`docs/examples/${name}`, root), 'utf8')
const blocks = (language) => readme.split(`\`\`\`${language}\n`).slice(1).map((text) => text.split('```')[0])
const block = (language) => blocks(language)[0] ?? assert.fail(`README.md has no ${language}`)
const balancer = stack.balancer.replace('http:', 'ws:')
const strict = need('CARILLON_STRICT_GATEWAY').replace('/v1/ws', '')
const work = mkdtempSync(join(tmpdir(), 'carillon-page-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))

const browser = await chromium.launch({ executablePath: need('CARILLON_CHROMIUM'), args: ['--no-sandbox'] })
const checks = new Checks(`README in Chromium ${browser.version()}`)

/** Puts an address and a token's source where the page has its own. */
function filled(page, url, token) {
  const parts = [['"ws://127.0.0.1:18107"', JSON.stringify(url)], ['"eyJ0eXAiOiJKV1Qi…"', token]]
  return parts.reduce((text, [own, ours]) => {
    assert.equal(text.split(own).length, 2, `${own} stands once in the page`)
    return text.replace(own, () => ours)
  }, page)
}

/** The page in a tab of its own, and what it shows. `tokens` are given one after the other, the last one for ever. */
async function open(tokens, { url = balancer, cursor } = {}) {
  const context = await browser.newContext()
  const page = await context.newPage()
  let asked = 0
  await page.exposeFunction('nextToken', () => tokens[Math.min(asked++, tokens.length - 1)])
  if (cursor) await page.addInitScript((text) => { localStorage.carillon ??= text }, JSON.stringify(cursor))
  const file = join(work, `${Math.random()}.html`)
  writeFileSync(file, filled(example('page.html'), url, 'await nextToken()'))
  await page.goto(pathToFileURL(file).href)
  const lines = () => page.locator('li').allInnerTexts()
  return {
    page,
    lines,
    shows: (text, patience = 15_000) => until(patience, `the page shows ${text}`, async () => (await lines()).some((line) => line.includes(text))),
    cursor: () => page.evaluate(() => JSON.parse(localStorage.getItem('carillon'))),
    node: async () => {
      await until(15_000, 'a welcome', async () => (await lines()).some((line) => line.startsWith('connected to ')))
      return (await lines()).findLast((line) => line.startsWith('connected to ')).split(' ')[2]
    },
    asked: () => asked,
    close: () => context.close(),
  }
}

const signed = (...words) => execFileSync(need('CARILLON_PROGRAM'), [
  '--data', need('CARILLON_DATA'), 'token', '--tenant', stack.tenant, '--user', 'tester', '--channel', 'contact:*', ...words,
], { encoding: 'utf8' }).trim()

await checks.check('the README shows exactly the files that are tested', () => {
  assert.equal(block('html'), example('page.html'))
  // Of several programs one makes tokens.
  assert.equal(blocks('js').find((text) => text.includes('createHmac')), example('token.mjs'))
  assert.equal(block('python'), example('token.py'))
  for (const name of ['token.mjs', 'token.py']) assert.ok(example(name).trim().split('\n').length <= 5, name)
})

await checks.check('pasted with the address and the token of the stack, it shows an event', async () => {
  const context = await browser.newContext()
  const page = await context.newPage()
  const file = join(work, 'pasted.html')
  writeFileSync(file, filled(block('html'), balancer, JSON.stringify(stack.token)))
  await page.goto(pathToFileURL(file).href)
  await until(15_000, 'a welcome', async () => (await page.locator('li').allInnerTexts()).join().includes('connected to'))
  const { seq } = await publish({ type: 'appointment.created', channels: ['contact:123'], data: { service: 'Passport photo' } })
  await until(15_000, 'the event', async () => (await page.locator('li').allInnerTexts()).join().includes(`#${seq} appointment.created`))
  await context.close()
})

await checks.check('its node is killed and the page is closed: nothing missed, nothing twice', async () => {
  const tab = await open([stack.token])
  const first = await tab.node()
  const sent = []
  const send = async () => sent.push((await publish({ type: 'note', channels: ['contact:123'], data: { n: sent.length } })).seq)
  await send()
  await tab.shows(`#${sent[0]} `)
  await kill(first)
  await send()
  await tab.shows(`#${sent[1]} `)
  assert.notEqual(await tab.node(), first)
  const before = await tab.lines()
  await tab.page.goto('about:blank')
  await send()
  await tab.page.goBack()
  await tab.shows(`#${sent[2]} `)
  const seen = [...before, ...(await tab.lines())].flatMap((line) => line.match(/^#(\d+) note/)?.[1] ?? [])
  assert.deepEqual(seen.map(Number), sent)
  await tab.close()
})

await checks.check('an expired token: the page learns it by its code, asks for another and goes on', async () => {
  const stale = signed('--ttl', '1')
  const { exp } = JSON.parse(Buffer.from(stale.split('.')[1], 'base64url'))
  await until(10_000, 'its end', () => Date.now() / 1000 > exp + 1)
  const tab = await open([stale, stack.token])
  await tab.shows('closed: 4401')
  await tab.node()
  const { seq } = await publish({ type: 'note', channels: ['contact:123'] })
  await tab.shows(`#${seq} note`)
  await tab.close()
})

await checks.check('a token that is about to expire is renewed without a new connection', async () => {
  const tab = await open([signed('--ttl', '8'), stack.token])
  await tab.node()
  await until(15_000, 'a second token', () => tab.asked() >= 2)
  const { seq } = await publish({ type: 'note', channels: ['contact:123'] })
  await tab.shows(`#${seq} note`)
  assert.ok(!(await tab.lines()).some((line) => line.startsWith('closed')), 'the connection stayed')
  await tab.close()
})

await checks.check('a refused handshake is 1006 for a page, and it comes back later and later', async () => {
  const tab = await open([stack.token], { url: strict })
  await until(30_000, 'three attempts', async () => (await tab.lines()).filter((line) => line.startsWith('closed: 1006')).length >= 3)
  await tab.close()
})

await checks.check('what is final is told with its code, and the page stays away', async () => {
  const tab = await open([execFileSync(need('CARILLON_PROGRAM'), ['--data', need('CARILLON_DATA'), 'token'], { encoding: 'utf8' }).trim()])
  await tab.shows('closed: 4403')
  // Longer than the longest first pause of a page that comes back.
  await new Promise((resolve) => setTimeout(resolve, 2500))
  assert.deepEqual([(await tab.lines()).length, tab.asked()], [1, 1])
  await tab.close()
})

await checks.check('a cursor of another log is told as a reset, and the page goes on', async () => {
  const tab = await open([stack.token], { cursor: { since: 5, epoch: 'another-log' } })
  await tab.shows('epoch_changed')
  const { seq } = await publish({ type: 'note', channels: ['contact:123'] })
  await tab.shows(`#${seq} note`)
  assert.notEqual((await tab.cursor()).epoch, 'another-log')
  await tab.close()
})

await checks.check('/docs on a phone: listens and publishes with what was printed, and nothing is wider than the screen', async () => {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 } })
  const page = await context.newPage()
  const faults = []
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => { if (message.type() === 'error') faults.push(message.text()) })
  await page.goto(`${stack.balancer}/docs`)
  const printed = ['--data', need('CARILLON_DATA'), 'token', '--channel', 'contact:*']
  await page.fill('#token', execFileSync(need('CARILLON_PROGRAM'), printed, { encoding: 'utf8' }).trim())
  await page.click('#open')
  const says = (place, text) => until(15_000, `${place} says ${text}`, async () => (await page.innerText(place)).includes(text))
  await says('#heard', '"type":"welcome"')
  await page.fill('#key', stack.apiKey)
  await page.click('#send')
  await says('#sent', '201 ')
  await says('#heard', 'appointment.created')
  await says('#problems', 'idempotency_mismatch')
  await until(15_000, 'the reference', () => page.evaluate(() => document.querySelector('rapi-doc').shadowRoot?.textContent.includes('/v1/events/{id}')))
  // The reference begins with what the form did, and its example is taken with the same key.
  const first = page.locator('rapi-doc .endpoint-head').first()
  assert.match(await first.innerText(), /POST\s+\/v1\/events$/i)
  await first.click()
  await page.locator('rapi-doc api-request').first().getByRole('button', { name: 'TRY' }).click()
  await page.locator('rapi-doc api-request').first().getByText('Created:201').waitFor()
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390)
  await page.goto(stack.balancer)
  assert.ok((await page.innerText('body')).includes('/v1/ws'))
  await page.click('a[href="/docs"]')
  await page.waitForSelector('#send')
  assert.deepEqual(faults, [])
  await context.close()
})

for (const [language, program, file] of [['Node', process.execPath, 'token.mjs'], ['Python', need('CARILLON_PYTHON'), 'token.py']]) {
  await checks.check(`a token made in ${language} is let in as whom it names`, () => {
    const path = new URL(`docs/examples/${file}`, root).pathname
    const token = execFileSync(program, [path], { encoding: 'utf8', env: { ...process.env, CARILLON_JWT_SECRET: need('CARILLON_JWT_SECRET') } })
    const who = JSON.parse(execFileSync(need('CARILLON_PROGRAM'), ['who', '--json', '--url', stack.balancer, '--token', token.trim()], { encoding: 'utf8' }))
    assert.deepEqual([who.user, who.tenant], ['anna', 'studio-nova'])
  })
}

await browser.close()
process.exitCode = checks.summary()
