// Is what was built small, and complete in every language?

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { publint } from 'publint'
import { expect, test } from 'vitest'
import { bundle, kibOf } from '../../testing/bundle.js'
import { ar } from '../src/locales/ar.js'
import { de } from '../src/locales/de.js'
import { es } from '../src/locales/es.js'
import { fr } from '../src/locales/fr.js'
import { hi } from '../src/locales/hi.js'
import { en } from '../src/texts.js'

const dist = join(import.meta.dirname, '../dist')

test('all parts together, with the style sheet, have at most 15 KiB', async () => {
  const { kib } = await bundle(`export * from '@carillon/ui'`, [/^react(\/|$)/, '@carillon/react'])
  const style = kibOf(readFileSync(join(dist, 'style.css'), 'utf8'))
  const bell = await bundle(`export { Bell } from '@carillon/ui'`, [/^react(\/|$)/, '@carillon/react'])
  console.log(
    `@carillon/ui: ${kib.toFixed(2)} KiB gzip and ${style.toFixed(2)} KiB of CSS; a bell alone ${bell.kib.toFixed(2)} KiB`,
  )
  expect(kib).toBeGreaterThan(3)
  expect(kib + style).toBeLessThanOrEqual(15)
  expect(bell.kib).toBeLessThan(kib)
})

test('the entry says "use client" in its first line', () => {
  expect(readFileSync(join(dist, 'index.js'), 'utf8')).toMatch(/^'use client';?\n/)
})

test.each([de, fr, es, ar, hi])('$locale has every text, with the same gaps, and none in English', (texts) => {
  const gaps = (text: string) => text.match(/\{\w+\}/g) ?? []
  for (const [name, english] of Object.entries(en)) {
    const text = texts[name as keyof typeof en]
    expect([name, text && gaps(text)]).toEqual([name, gaps(english)])
  }
  const same = Object.entries(en).filter(([name, english]) => texts[name as keyof typeof en] === english)
  // Words that are the same in both languages.
  expect(same.length).toBeLessThanOrEqual(12)
})

test('publint finds nothing', async () => {
  const { messages } = await publint({ pkgDir: join(import.meta.dirname, '..'), strict: true })
  expect(messages).toEqual([])
})
