import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { expect, test } from 'vitest'

const dist = (name: string) => fileURLToPath(new URL(`../dist/${name}.js`, import.meta.url))
const KIB = 1024
const compressed = (code: string) => gzipSync(code, { level: 9 }).length

/** The files of a page that imports the client and uses it: the first is loaded with the page, the others when something needs them. */
async function bundle(code: string) {
  const folder = mkdtempSync(join(tmpdir(), 'carillon-size-'))
  try {
    writeFileSync(join(folder, 'app.js'), code)
    const bundle = await rolldown({
      input: join(folder, 'app.js'),
      resolve: { alias: { '@carillon/client/core': dist('core'), '@carillon/client': dist('index') } },
    })
    const { output } = await bundle.generate({ format: 'esm', minify: true })
    return output.flatMap((one) => (one.type === 'chunk' ? [{ name: one.name, code: one.code }] : []))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const begin = `
  import { createClient } from '@carillon/client'
  const client = createClient({ url: 'https://example.com', getToken: () => fetch('/token').then((answer) => answer.text()) })
  client.channel('order:7').on('order.*', console.log)
`

/** What comes when something needs it, by the name of its file, and at most how large it may be. */
const PARTS: Record<string, number> = {
  // Every page where the browser has locks loads it before it connects, unless it says `tabs: false`.
  tabs: 2.9,
  inbox: 2.2,
  // Where no WebSocket passes.
  fallback: 1.5,
  // `channel.state`, `client.live`.
  live: 1.4,
  // `presence`, `typing`, `onSignal`.
  people: 1,
  // `history`, `latest`, and what `live` has missed.
  reads: 0.9,
  // `request`, and what inbox and history ask.
  rest: 0.8,
  // `attach`, `switch`.
  shared: 1.8,
}

test('an application that connects and hears a channel loads at most 11 KiB with its page, and each part more only when it is used', async () => {
  const [first, ...parts] = await bundle(begin)
  // One file: else a part of the core would be counted with what comes later.
  expect(first?.code).not.toMatch(/^import\b/)
  expect(first?.code).toContain('/v1/ws')
  const size = compressed(first!.code)
  const sizes = Object.fromEntries(parts.map(({ name, code }) => [name, compressed(code)]))
  console.log(`client: ${size} bytes compressed with the page (${first!.code.length} before); then ${JSON.stringify(sizes)}`)
  expect(size).toBeLessThanOrEqual(11 * KIB)
  expect(Object.keys(sizes).sort()).toEqual(Object.keys(PARTS).sort())
  for (const [name, most] of Object.entries(PARTS)) expect(sizes[name], name).toBeLessThanOrEqual(most * KIB)
})

test('a page that only hears loads at most 8 KiB, and has what keeps events whole', async () => {
  const [first, ...parts] = await bundle(begin.replace('@carillon/client', '@carillon/client/core'))
  expect(first?.code).not.toMatch(/^import\b/)
  const size = compressed(first!.code)
  console.log(`client/core: ${size} bytes compressed (${first!.code.length} before)`)
  expect(size).toBeLessThanOrEqual(8 * KIB)
  expect(parts.map(({ name }) => name).sort()).toEqual(['fallback', 'tabs'])
})

test('what says that somebody is away is small, and in no other page', async () => {
  const away = await bundle(`export { sayAway } from '${dist('away')}'`)
  const size = compressed(away.map(({ code }) => code).join(''))
  console.log(`client/away: ${size} bytes compressed`)
  expect(size).toBeLessThanOrEqual(0.5 * KIB)
  expect((await bundle(begin)).map(({ code }) => code).join()).not.toContain('carillon seen')
})

test('an application that does not use it carries nothing', async () => {
  const code = await bundle(`
    import { createClient } from '@carillon/client'
    console.log('hello')
  `)
  expect(code.map(({ code }) => code).join()).not.toContain('/v1/ws')
})
