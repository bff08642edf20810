import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { rolldown } from 'rolldown'
import { expect, test } from 'vitest'

const entry = fileURLToPath(new URL('../dist/index.js', import.meta.url))
const KIB = 1024
const compressed = (code: string) => gzipSync(code, { level: 9 }).length

/** The files of a page that imports the client and uses it: the first is loaded with the page, the others when something needs them. */
async function bundle(code: string) {
  const folder = mkdtempSync(join(tmpdir(), 'carillon-size-'))
  try {
    writeFileSync(join(folder, 'app.js'), code)
    const bundle = await rolldown({ input: join(folder, 'app.js'), resolve: { alias: { '@carillon/client': entry } } })
    const { output } = await bundle.generate({ format: 'esm', minify: true })
    if (process.env.CARILLON_BUNDLE) writeFileSync(process.env.CARILLON_BUNDLE, output[0]!.code)
    return output.map((one) => ('code' in one ? one.code : ''))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('an application that uses the client loads with at most 11 KiB of it, compressed', async () => {
  const files = await bundle(`
    import { createClient } from '@carillon/client'
    const client = createClient({ url: 'https://example.com', getToken: () => fetch('/token').then((answer) => answer.text()) })
    client.channel('order:7').on('order.*', console.log)
    client.inbox.onSummary(console.log)
  `)
  const [first = '', ...parts] = files
  expect(first).toContain('/v1/ws')
  const [size, later] = [compressed(first), parts.map(compressed)]
  console.log(
    `client: ${size} bytes compressed with the page (${first.length} before), ${later.join(' + ')} when they are needed`,
  )
  expect(size).toBeLessThanOrEqual(11 * KIB)
  expect(later.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(8 * KIB)
})

test('an application that does not use it carries nothing', async () => {
  const code = await bundle(`
    import { createClient } from '@carillon/client'
    console.log('hello')
  `)
  expect(code.join()).not.toContain('/v1/ws')
})
