// Do the components of docs/guide/react.md work as they stand there?

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { createFake } from '../../testing/fake-client.js'
import { CarillonProvider } from '../src/index.js'
import { App, Bell, Desk, Feed, Header, Quiet, Room, Sounds } from './guide.js'
import { frame, render } from './harness.js'

/** Without what a formatter decides. */
const squeezed = (text: string) => text.replace(/[\s(),]+/g, '')
const here = import.meta.dirname
const guide = readFileSync(join(here, '../../../docs/guide/react.md'), 'utf8')

test('every program of the guide is one of those that are tested here', () => {
  const tested = squeezed(readFileSync(join(here, 'guide.tsx'), 'utf8'))
  const blocks = [...guide.matchAll(/^```tsx\n([\s\S]+?)^```$/gm)].map(([, code]) => code ?? '')
  expect(blocks.length).toBeGreaterThanOrEqual(8)
  for (const block of blocks) expect(tested).toContain(squeezed(block.replace(/^import .*$/gm, '')))
})

test('and they show what it says', async () => {
  const fake = createFake()
  const rows = [{ id: 1, at: '14:30', client: 'Ana' }]
  const toasts: string[] = []
  vi.stubGlobal('createClient', () => fake.client)
  vi.stubGlobal('toast', (text: string) => toasts.push(text))
  vi.stubGlobal('fetch', async () => Response.json(rows, { headers: { 'Carillon-Position': 'a:0' } }))
  fake.answers.set('/v1/stats', { connections: 3 })
  fake.inbox([
    {
      seq: 1,
      id: 'n',
      type: 'notice',
      title: 'Hello',
      priority: 'normal',
      time: '',
      read: false,
      seen: false,
      archived: false,
      requires_ack: false,
    },
  ])
  const page = await render(<App />)
  const parts = await render(
    <CarillonProvider client={fake.client}>
      <Sounds />
      <Feed />
      <Desk />
      <Room />
      <Bell />
      <Quiet />
      <Header />
    </CarillonProvider>,
  )
  for (let n = 0; n < 6; n += 1) await frame()
  fake.emit('appointment.confirmed', { id: 2, at: '15:00', client: 'Jan' })
  fake.emit('appointment.cancelled', { id: 1 })
  fake.emit('order.paid', { total: 12 })
  fake.emit('bot.message.received', { text: 'hello bot' })
  fake.presence('branch:1', [{ user: 'mila' }])
  fake.typing('branch:1', ['mila'])
  await frame()
  expect(page.text()).toBe('15:00 Jan')
  expect(toasts).toEqual(['12 €'])
  expect(parts.text()).toBe('hello botTake a break1 here: milamila …1HelloQuiet at night3 connected')
})
