// Can a server render every part, and does the guide show what is there?

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CarillonProvider } from '@carillon/react'
import { renderToString } from 'react-dom/server'
import { expect, test, vi } from 'vitest'
import { createFake } from '../../testing/fake-client.js'
import { Bell, PreferencesPane } from '../src/index.js'
import { App, Compact, Dashboard } from './guide.js'

test('every part is rendered by a server, which connects nothing', () => {
  const fake = createFake()
  vi.stubGlobal('client', fake.client)
  const html = renderToString(
    <CarillonProvider client={fake.client}>
      <App />
      <Dashboard />
      <Compact />
      <PreferencesPane />
      <Bell />
    </CarillonProvider>,
  )
  for (const part of [
    'bell',
    'toaster',
    'status',
    'presence',
    'stats',
    'livefeed',
    'analytics',
    'typing',
    'inbox',
    'preferences',
  ])
    expect(html).toContain(`crln-${part}"`)
  expect(html).toContain('lang="de"')
  expect([fake.opened, fake.calls]).toEqual([0, []])
  vi.unstubAllGlobals()
})

/** Without what a formatter decides. */
const squeezed = (text: string) => text.replace(/[\s(),]+/g, '')

test('every program of the guide is one of those that are rendered here', () => {
  const tested = squeezed(readFileSync(join(import.meta.dirname, 'guide.tsx'), 'utf8'))
  const guide = readFileSync(join(import.meta.dirname, '../../../docs/guide/ui.md'), 'utf8')
  const blocks = [...guide.matchAll(/^```tsx\n([\s\S]+?)^```$/gm)].map(([, code]) => code ?? '')
  expect(blocks).toHaveLength(3)
  for (const block of blocks) expect(tested).toContain(squeezed(block.replace(/^import .*$/gm, '')))
})

test('the guide names every custom property of the style sheet', () => {
  const style = readFileSync(join(import.meta.dirname, '../src/style.css'), 'utf8')
  const guide = readFileSync(join(import.meta.dirname, '../../../docs/guide/ui.md'), 'utf8')
  const names = new Set([...style.matchAll(/(--crln-[a-z-]+)/g)].map(([, name]) => name))
  expect([...names].filter((name) => !guide.includes(`\`${name}\``))).toEqual([])
})
