// Is what is published complete, free of dependencies, and harmless to import where there is no page?

import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { publint } from 'publint'
import { expect, test } from 'vitest'

const folder = fileURLToPath(new URL('..', import.meta.url))

test('publint finds nothing', async () => {
  const { messages } = await publint({ pkgDir: folder, strict: true })
  expect(messages).toEqual([])
})

test('it depends on nothing', () => {
  const { dependencies, peerDependencies } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'))
  expect([dependencies, peerDependencies]).toEqual([undefined, undefined])
})

test('to import it and to make a client touches no page, no network, no timer', async () => {
  const program = `
    for (const name of ['document', 'window', 'navigator', 'WebSocket', 'EventSource', 'BroadcastChannel', 'fetch', 'localStorage', 'setTimeout', 'setInterval'])
      Object.defineProperty(globalThis, name, { configurable: true, get() { throw new Error(name + ' was touched') } })
    const { createClient } = await import('${folder}/dist/index.js')
    const client = createClient({ url: 'https://example.com', getToken: () => null })
    console.log(client.state.status)
  `
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program])
  expect(stdout).toBe('idle\n')
})

test('the lock file names no address to download from', () => {
  const lock = JSON.parse(readFileSync(`${folder}/../package-lock.json`, 'utf8')) as {
    packages: Record<string, { resolved?: string; link?: boolean }>
  }
  const addresses = Object.values(lock.packages).flatMap(({ resolved, link }) => (resolved && !link ? [resolved] : []))
  expect(addresses).toEqual([])
})
