// @vitest-environment node
// Is what was built small, and does it say where it runs?

import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { publint } from 'publint'
import { expect, test } from 'vitest'
import { bundle } from '../../testing/bundle.js'

const folder = fileURLToPath(new URL('..', import.meta.url))

test('all hooks together have at most 3 KiB', async () => {
  const { kib, code } = await bundle(`export * from '@carillon/react'`, [/^react(\/|$)/])
  console.log(`@carillon/react: ${kib.toFixed(2)} KiB gzip`)
  expect(code).toContain('useSyncExternalStore')
  expect(kib).toBeLessThanOrEqual(3)
})

test('a page that uses one hook does not pay for the others', async () => {
  const all = await bundle(`export * from '@carillon/react'`, [/^react(\/|$)/])
  const one = await bundle(`export { CarillonProvider, useConnection } from '@carillon/react'`, [/^react(\/|$)/])
  expect(one.kib).toBeLessThan(all.kib * 0.7)
})

test('whether somebody is away comes with an import of its own, and is small', async () => {
  const { kib } = await bundle(`export * from '@carillon/react/away'`, [/^react(\/|$)/])
  console.log(`@carillon/react/away: ${kib.toFixed(2)} KiB gzip`)
  expect(kib).toBeLessThanOrEqual(0.8)
  expect((await bundle(`export * from '@carillon/react'`, [/^react(\/|$)/])).code).not.toContain('carillon seen')
})

test('the entry says "use client" in its first line', () => {
  for (const name of ['index', 'away']) expect(readFileSync(`${folder}/dist/${name}.js`, 'utf8')).toMatch(/^'use client';?\n/)
})

test('publint finds nothing', async () => {
  const { messages } = await publint({ pkgDir: folder, strict: true })
  expect(messages).toEqual([])
})
