// How are the browsers that Playwright cannot drive opened, as a distribution packages them?
//
// Firefox speaks WebDriver BiDi itself; WebKitGTK has a WebDriver beside it; Chromium is driven as in the other tests.

import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { WebSocket } from 'ws'
import { freePort, until } from '../testing/stack.js'

export interface Tab {
  goto(url: string): Promise<void>
  /** The value of an expression, after its promise. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever the page says
  evaluate(expression: string): Promise<any>
  back(): Promise<void>
  close(): Promise<void>
}

export interface Engine {
  /** With its version. */
  readonly name: string
  open(): Promise<Tab>
  end(): Promise<void>
}

const asText = (expression: string) =>
  `Promise.resolve(${expression}).then((value) => JSON.stringify(value ?? null), (error) => { throw new Error(String(error)) })`

async function openChromium(): Promise<Engine> {
  const executablePath = process.env.CARILLON_CHROMIUM ?? '/usr/bin/chromium'
  const browser = await chromium.launch({
    executablePath,
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    args: ['--no-sandbox', '--enable-features=BackForwardCache'],
  })
  const context = await browser.newContext()
  return {
    name: `Chromium ${browser.version()}`,
    async open() {
      const page = await context.newPage()
      return {
        goto: async (url) => void (await page.goto(url)),
        evaluate: async (expression) => JSON.parse((await page.evaluate(asText(expression))) as string),
        back: async () => void (await page.goBack({ waitUntil: 'commit' })),
        close: () => page.close(),
      }
    },
    end: () => browser.close(),
  }
}

async function openFirefox(): Promise<Engine> {
  const program = process.env.CARILLON_FIREFOX ?? 'firefox-esr'
  const profile = mkdtempSync(join(tmpdir(), 'carillon-firefox-'))
  writeFileSync(join(profile, 'user.js'), 'user_pref("browser.shell.checkDefaultBrowser", false);\n')
  const port = await freePort()
  const options = ['--headless', '--no-remote', '--profile', profile, `--remote-debugging-port=${port}`]
  const child = spawn(program, options, { stdio: 'ignore' })
  let socket: WebSocket | undefined
  await until(
    'Firefox answers',
    async () => {
      const tried = new WebSocket(`ws://127.0.0.1:${port}/session`)
      socket = await new Promise((resolve) => {
        tried.on('open', () => resolve(tried))
        tried.on('error', () => resolve(undefined))
      })
      return socket !== undefined
    },
    60_000,
  )
  let ids = 0
  // biome-ignore lint/suspicious/noExplicitAny: answers of the browser
  const waiting = new Map<number, (answer: any) => void>()
  socket!.on('message', (text) => {
    const answer = JSON.parse(String(text))
    waiting.get(answer.id)?.(answer)
    waiting.delete(answer.id)
  })
  // biome-ignore lint/suspicious/noExplicitAny: answers of the browser
  const ask = async (method: string, params: object): Promise<any> => {
    const id = ++ids
    const answered = new Promise<{ type: string; message: string; result: unknown }>((resolve) => waiting.set(id, resolve))
    socket!.send(JSON.stringify({ id, method, params }))
    const { type, message, result } = await answered
    if (type === 'error') throw new Error(`${method}: ${message}`)
    return result
  }
  const { capabilities } = await ask('session.new', { capabilities: {} })
  return {
    name: `Firefox ${capabilities.browserVersion}`,
    async open() {
      const { context } = await ask('browsingContext.create', { type: 'tab' })
      return {
        goto: (url) => ask('browsingContext.navigate', { context, url, wait: 'complete' }),
        async evaluate(expression) {
          const given = { expression: asText(expression), target: { context }, awaitPromise: true }
          const { type, result, exceptionDetails } = await ask('script.evaluate', given)
          if (type === 'exception') throw new Error(exceptionDetails.text)
          return JSON.parse(result.value)
        },
        back: () => ask('browsingContext.traverseHistory', { context, delta: -1 }),
        close: () => ask('browsingContext.close', { context }),
      }
    },
    async end() {
      await ask('browser.close', {}).catch(() => {})
      socket!.close()
      await ended(child)
      rmSync(profile, { recursive: true, force: true })
    },
  }
}

async function openWebKit(): Promise<Engine> {
  const browser = process.env.CARILLON_WEBKIT ?? '/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser'
  const port = await freePort()
  const child = spawn('WebKitWebDriver', [`--port=${port}`], { stdio: 'ignore', env: process.env })
  const call = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...(body && { body: JSON.stringify(body) }) })
    const { value } = (await answer.json()) as { value: { error?: string; message?: string } & Record<string, never> }
    if (!answer.ok) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`)
    // biome-ignore lint/suspicious/noExplicitAny: answers of the browser
    return value as any
  }
  const isUp = () =>
    fetch(`http://127.0.0.1:${port}/status`).then(
      () => true,
      () => false,
    )
  await until('the WebDriver answers', isUp, 20_000)
  const wanted = { 'webkitgtk:browserOptions': { binary: browser, args: ['--automation'] } }
  const { sessionId, capabilities } = await call('POST', '/session', { capabilities: { alwaysMatch: wanted } })
  const session = `/session/${sessionId}`
  await call('POST', `${session}/timeouts`, { script: 60_000, pageLoad: 60_000 })
  // It has one window at a time that it talks to.
  let turn: Promise<unknown> = Promise.resolve()
  const inWindow = <Value>(handle: string, then: () => Promise<Value>): Promise<Value> => {
    const mine = turn.then(async () => {
      await call('POST', `${session}/window`, { handle })
      return then()
    })
    turn = mine.catch(() => {})
    return mine
  }
  const first: string = await call('GET', `${session}/window`)
  const { browserVersion: version } = capabilities
  return {
    name: `WebKitGTK ${version}`,
    async open() {
      const { handle } = await inWindow(first, () => call('POST', `${session}/window/new`, { type: 'tab' }))
      return {
        goto: (url) => inWindow(handle, () => call('POST', `${session}/url`, { url })),
        async evaluate(expression) {
          const script = `const done = arguments[0]; ${asText(expression)}.then((text) => done([text]), (error) => done([null, String(error)]))`
          const [text, error] = await inWindow(handle, () => call('POST', `${session}/execute/async`, { script, args: [] }))
          if (error) throw new Error(error)
          return JSON.parse(text)
        },
        back: () => inWindow(handle, () => call('POST', `${session}/back`, {})),
        close: () => inWindow(handle, () => call('DELETE', `${session}/window`)),
      }
    },
    async end() {
      await call('DELETE', session).catch(() => {})
      child.kill()
      await ended(child)
    },
  }
}

const ended = (child: ChildProcess) =>
  child.exitCode === null && child.signalCode === null ? new Promise((resolve) => child.once('exit', resolve)) : null

export const engines: Record<string, () => Promise<Engine>> = {
  chromium: openChromium,
  firefox: openFirefox,
  webkit: openWebKit,
}
