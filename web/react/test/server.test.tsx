// Does a page that a server rendered come alive without a warning, and without a connection on the server?

import { act } from 'react'
import { hydrateRoot } from 'react-dom/client'
import { renderToString } from 'react-dom/server'
import { expect, test, vi } from 'vitest'
import { createFake, openState } from '../../testing/fake-client.js'
import {
  CarillonProvider,
  useAnalytics,
  useChannel,
  useConnection,
  useEvent,
  useEvents,
  useInbox,
  useLive,
  usePreferences,
  usePresence,
  useStats,
  useTyping,
  useUnreadCount,
} from '../src/index.js'
import { frame, pass } from './harness.js'

function Page() {
  const connection = useConnection()
  const isOpen = useConnection((state) => state.status === 'open')
  const channel = useChannel('branch:1')
  useEvent('*', () => {})
  const events = useEvents('*')
  const presence = usePresence('branch:1')
  const typing = useTyping('branch:1')
  const inbox = useInbox()
  const unread = useUnreadCount()
  const asked = [usePreferences().status, useStats().status, useAnalytics().status]
  const loaded = useLive<number[]>({ key: ['loaded'], load: async () => ({ value: [1], position: 'a:0' }) }, (value) => value)
  const rendered = useLive<number[], number>(
    {
      key: ['rendered'],
      load: () => Promise.reject(new Error('what a server rendered is not loaded again')),
      initial: { value: [7, 8], position: 'a:41' },
    },
    (value, event) => [...value, event.data],
  )
  const counts = [events.length, presence.count, typing.users.length, inbox.status, unread]
  return (
    <p>
      {[connection.status, isOpen, channel.status, ...counts, ...asked, loaded.status, rendered.status, rendered.value].join(' ')}
    </p>
  )
}

test('renders on a server, connects nothing there, and hydrates without a warning', async () => {
  const server = createFake()
  const html = renderToString(
    <CarillonProvider client={server.client}>
      <Page />
    </CarillonProvider>,
  )
  expect(html).toBe('<p>idle false joining 0 0 0 loading  loading loading loading loading live 7,8</p>')
  expect([server.opened, server.calls]).toEqual([0, []])

  const told = vi.spyOn(console, 'error')
  const into = document.createElement('div')
  into.innerHTML = html
  const before = into.firstChild
  const page = createFake()
  // The page is quicker than its hydration: everything is known already.
  page.state(openState)
  page.presence('branch:1', [{ user: 'jan' }])
  page.summary({ unread: 3 })
  page.answers.set('/v1/stats', {})
  page.answers.set('/v1/analytics', {})
  const recovered = vi.fn()
  const app = (
    <CarillonProvider client={page.client}>
      <Page />
    </CarillonProvider>
  )
  const root = await act(async () => hydrateRoot(into, app, { onRecoverableError: recovered }))
  await frame()
  await frame()
  expect(into.textContent).toBe('open true joined 0 1 0 loading 3 ready ready ready live live 7,8')
  expect(into.firstChild).toBe(before)
  page.emit('a', 9)
  await frame()
  expect(into.textContent).toContain('7,8,9')
  expect([recovered.mock.calls, told.mock.calls]).toEqual([[], []])
  await act(async () => root.unmount())
  await pass(1000)
  expect(page.open).toBe(0)
})
