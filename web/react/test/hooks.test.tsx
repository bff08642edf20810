// Does each hook show what its source says, once a frame?

import { memo, StrictMode, version } from 'react'
import { describe, expect, test, vi } from 'vitest'
import { createFake } from '../../testing/fake-client.js'
import { useAway } from '../src/away.js'
import {
  CarillonProvider,
  useAnalytics,
  useChannel,
  useConnection,
  useEvent,
  useEvents,
  useInbox,
  useInboxSummary,
  useLive,
  useNotice,
  usePreferences,
  usePresence,
  useStats,
  useTyping,
  useUnreadCount,
} from '../src/index.js'
import { frame, pass, render } from './harness.js'

const item = {
  seq: 1,
  id: 'n-1',
  type: 'notice',
  title: 'One',
  priority: 'normal',
  time: '',
  read: false,
  seen: false,
  archived: false,
  requires_ack: false,
} as const

test('these are the tests of the React that they say', () => {
  expect(version).toMatch(process.env.REACT_MAJOR === '18' ? /^18\./ : /^19\./)
})

test('without a provider the error says what is missing', async () => {
  const Lost = () => <>{useConnection().status}</>
  const told = vi.spyOn(console, 'error').mockImplementation(() => {})
  await expect(render(<Lost />)).rejects.toThrow('there is no <CarillonProvider> above')
  told.mockRestore()
})

test('the connection is made by the provider and shown; a selection renders only with what it selects', async () => {
  const fake = createFake()
  const renders = { all: 0, isOpen: 0 }
  const All = memo(() => {
    renders.all += 1
    return <i>{useConnection().status}</i>
  })
  const IsOpen = memo(() => {
    renders.isOpen += 1
    return <b>{String(useConnection((state) => state.status === 'open'))}</b>
  })
  const { text } = await render(
    <CarillonProvider client={fake.client}>
      <All />
      <IsOpen />
    </CarillonProvider>,
  )
  await frame()
  expect(text()).toBe('opentrue')
  const before = { ...renders }
  for (const attempt of [1, 2, 3]) {
    fake.state({ status: 'waiting', code: 'close_1006', reason: 'lost', attempt, retryAt: attempt })
    await frame()
  }
  expect(text()).toBe('waitingfalse')
  expect([renders.all - before.all, renders.isOpen - before.isOpen]).toEqual([3, 1])
})

describe('events', () => {
  test('each comes to the handler once, in order, also a burst; nothing is rendered', async () => {
    const fake = createFake()
    const seen: number[] = []
    let renders = 0
    function Listener() {
      renders += 1
      useEvent<{ n: number }>('order.*', (event) => void seen.push(event.data.n))
      return null
    }
    await render(
      <CarillonProvider client={fake.client}>
        <Listener />
      </CarillonProvider>,
    )
    const before = renders
    for (let n = 0; n < 1000; n += 1) fake.emit(n % 2 ? 'order.paid' : 'other', { n })
    await frame()
    expect(seen).toEqual(Array.from({ length: 500 }, (_, n) => 2 * n + 1))
    expect(renders).toBe(before)
  })

  test('the newest handler is called, without a new subscription', async () => {
    const fake = createFake()
    const seen: string[] = []
    function Listener({ name }: { name: string }) {
      useEvent('a', () => void seen.push(name))
      return null
    }
    const page = await render(
      <CarillonProvider client={fake.client}>
        <Listener name="first" />
      </CarillonProvider>,
    )
    fake.emit('a')
    const { opened } = fake
    await page.again(
      <CarillonProvider client={fake.client}>
        <Listener name="second" />
      </CarillonProvider>,
    )
    fake.emit('a')
    expect([seen, fake.opened]).toEqual([['first', 'second'], opened])
  })

  test('StrictMode asks for history once, and an unmounted component hears nothing more', async () => {
    const fake = createFake()
    const seen: unknown[] = []
    function Listener() {
      useEvent('a', (event) => void seen.push(event.seq), { channel: 'tenant', history: 50 })
      return null
    }
    const page = await render(
      <StrictMode>
        <CarillonProvider client={fake.client}>
          <Listener />
        </CarillonProvider>
      </StrictMode>,
    )
    expect(fake.calls.filter(([name]) => name === 'channel.on')).toEqual([['channel.on', 'tenant', 'a', { history: 50 }]])
    await page.unmount()
    fake.emit('a')
    expect(seen).toEqual([])
    await pass(1000)
    expect(fake.open).toBe(0)
  })

  test('a list keeps the newest, ascending, and 10,000 in one frame are one render', async () => {
    const fake = createFake()
    let renders = 0
    function List() {
      renders += 1
      return (
        <>
          {useEvents<number>('a', { limit: 3 })
            .map((event) => event.data)
            .join()}
        </>
      )
    }
    const page = await render(
      <CarillonProvider client={fake.client}>
        <List />
      </CarillonProvider>,
    )
    const before = renders
    for (let n = 1; n <= 10_000; n += 1) fake.emit('a', n)
    await frame()
    expect(page.text()).toBe('9998,9999,10000')
    expect(renders - before).toBe(1)
  })

  test('history that comes after live events stands before them; a resync begins anew', async () => {
    const fake = createFake()
    const List = () => (
      <>
        {useEvents('*', { channel: 'tenant', history: 10 })
          .map((event) => event.seq)
          .join()}
      </>
    )
    const page = await render(
      <CarillonProvider client={fake.client}>
        <List />
      </CarillonProvider>,
    )
    fake.emit('a', 0, { seq: 9 })
    fake.emit('a', 0, { seq: 7, replay: true })
    fake.emit('a', 0, { seq: 8, replay: true })
    await frame()
    expect(page.text()).toBe('7,8,9')
    fake.resync()
    await frame()
    expect(page.text()).toBe('')
    expect(fake.calls.filter(([name]) => name === 'channel.on')).toHaveLength(2)
  })
})

describe('channels', () => {
  test('a channel is joined while a component is there, and says why it is refused', async () => {
    const fake = createFake()
    function Room({ name }: { name: string }) {
      const { status, error, channel } = useChannel(name)
      return <button type="button" onClick={() => channel.publish('a', 1)}>{`${status} ${error?.code ?? ''}`}</button>
    }
    const page = await render(
      <CarillonProvider client={fake.client}>
        <Room name="branch:1" />
      </CarillonProvider>,
    )
    await frame()
    await frame()
    expect(page.text()).toBe('joined ')
    await page.click()
    expect(fake.calls).toContainEqual(['publish', 'branch:1', 'a', 1])
    fake.error({ code: 'forbidden', channels: ['branch:1'] })
    await frame()
    expect(page.text()).toBe('refused forbidden')
    fake.refuse('branch:2', 'forbidden')
    await page.again(
      <CarillonProvider client={fake.client}>
        <Room name="branch:2" />
      </CarillonProvider>,
    )
    await frame()
    await frame()
    expect(page.text()).toBe('refused forbidden')
    await page.unmount()
    await pass(1000)
    expect(fake.open).toBe(0)
  })

  test('whose page is hidden is away, until it is seen again', async () => {
    const fake = createFake()
    function Desk({ desk }: { desk: number }) {
      useAway('branch:1', { desk })
      return null
    }
    const seen = (state: DocumentVisibilityState) => {
      vi.spyOn(document, 'visibilityState', 'get').mockReturnValue(state)
      document.dispatchEvent(new Event('visibilitychange'))
    }
    const at = (desk: number) => (
      <CarillonProvider client={fake.client} connect={false}>
        <Desk desk={desk} />
      </CarillonProvider>
    )
    const page = await render(at(1))
    seen('hidden')
    seen('visible')
    await page.again(at(1))
    await page.again(at(2))
    await page.unmount()
    seen('hidden')
    expect(fake.calls).toEqual(
      [
        { desk: 1, away: false },
        { desk: 1, away: true },
        { desk: 1, away: false },
        { desk: 2, away: false },
      ].map((meta) => ['presence.set', 'branch:1', meta]),
    )
    vi.restoreAllMocks()
  })

  test('who is here and who types, of one subscription for many components', async () => {
    const fake = createFake()
    function People() {
      const { count, members, stale, set } = usePresence('branch:1')
      const { users, start } = useTyping('branch:1')
      const say = () => {
        void set({ desk: 1 })
        start()
      }
      return (
        <button type="button" onClick={say}>
          {`${count}${stale ? '?' : ''} ${members.map((one) => one.user)} ${users};`}
        </button>
      )
    }
    const page = await render(
      <CarillonProvider client={fake.client} connect={false}>
        <People />
        <People />
        <People />
      </CarillonProvider>,
    )
    expect(page.text()).toBe('0?  ;'.repeat(3))
    expect(fake.open).toBe(2)
    fake.presence('branch:1', [{ user: 'mila' }, { user: 'jan' }])
    fake.typing('branch:1', ['jan'])
    await frame()
    expect(page.text()).toBe('2 mila,jan jan;'.repeat(3))
    await page.click()
    expect(fake.calls).toEqual([
      ['presence.set', 'branch:1', { desk: 1 }],
      ['typing.start', 'branch:1'],
    ])
  })
})

describe('the inbox', () => {
  test('its list, counts and marks', async () => {
    const fake = createFake()
    const noticed: unknown[] = []
    function Mail() {
      const { items, inbox, status } = useInbox({ filter: 'unread' })
      useNotice((event) => void noticed.push(event.type))
      const unread = useUnreadCount()
      const seen = useInboxSummary()?.unseen
      return (
        <button
          type="button"
          onClick={() => void inbox.read(1)}
        >{`${status} ${items.map((one) => one.title)} ${unread} ${seen}`}</button>
      )
    }
    const page = await render(
      <CarillonProvider client={fake.client}>
        <Mail />
      </CarillonProvider>,
    )
    expect(page.text()).toBe('loading  null undefined')
    fake.inbox([item])
    await frame()
    expect(page.text()).toBe('live One 1 1')
    await page.click()
    await frame()
    expect(page.text()).toBe('live  0 0')
    fake.notice({ title: 'Two' }, 'order.paid')
    await frame()
    expect([page.text(), noticed]).toEqual(['live Two 1 1', ['order.paid']])
  })

  test('preferences are asked once for all, changed one after the other, and asked again when quiet hours begin', async () => {
    const fake = createFake()
    let change: ReturnType<typeof usePreferences>['change'] | undefined
    function Mine() {
      const preferences = usePreferences()
      change = preferences.change
      return <>{`${preferences.status} ${preferences.value?.quiet} ${JSON.stringify(preferences.value?.types)};`}</>
    }
    fake.preferences({ next_change: new Date(Date.now() + 60_000).toISOString() })
    const page = await render(
      <CarillonProvider client={fake.client}>
        <Mine />
        <Mine />
      </CarillonProvider>,
    )
    await frame()
    await frame()
    expect(page.text()).toBe('ready false null;'.repeat(2))
    await Promise.all([
      change?.({ types: { 'order.*': { toast: false } } }),
      change?.({ do_not_disturb_until: '2026-12-01T00:00:00Z' }),
    ])
    await frame()
    expect(page.text()).toBe('ready false {"order.*":{"toast":false}};'.repeat(2))
    const whole = {
      types: { 'order.*': { toast: false } },
      quiet_hours: null,
      do_not_disturb_until: '2026-12-01T00:00:00Z',
      locale: null,
    }
    expect(fake.calls.at(-1)).toEqual(['preferences.set', whole])
    fake.preferences({ quiet: true, next_change: null })
    await pass(70_000)
    expect(page.text()).toBe('ready true {"order.*":{"toast":false}};'.repeat(2))
  })
})

test('numbers are asked for again while the page is seen; an error keeps what was known', async () => {
  const fake = createFake()
  fake.answers.set('/v1/stats', { connections: 3 })
  fake.answers.set('/v1/analytics', { events: 10 })
  function Numbers() {
    const stats = useStats({ every: 1000 })
    const analytics = useAnalytics({ by: 'hour' })
    return <>{`${stats.status} ${stats.value?.connections} ${analytics.value?.events}`}</>
  }
  const page = await render(
    <CarillonProvider client={fake.client}>
      <Numbers />
    </CarillonProvider>,
  )
  await frame()
  await frame()
  expect(page.text()).toBe('ready 3 10')
  expect(fake.calls).toContainEqual(['request', 'GET', '/v1/analytics', { by: 'hour' }])
  fake.answers.set('/v1/stats', { connections: 4 })
  await pass(1200)
  expect(page.text()).toBe('ready 4 10')
  fake.answers.set('/v1/stats', new Error('away'))
  await pass(1200)
  expect(page.text()).toBe('failed 4 10')
  const visibility = vi.spyOn(document, 'visibilityState', 'get').mockReturnValue('hidden')
  await pass(1200)
  const asked = fake.calls.length
  await pass(10_000)
  expect(fake.calls.length).toBe(asked)
  fake.answers.set('/v1/stats', { connections: 5 })
  visibility.mockReturnValue('visible')
  document.dispatchEvent(new Event('visibilitychange'))
  await pass(10)
  expect(page.text()).toBe('ready 5 10')
  visibility.mockRestore()
})

describe('live state', () => {
  interface Row {
    id: number
    state: string
  }
  let loads = 0
  function Rows({ branch, reduced }: { branch: number; reduced?: Row[] }) {
    const { status, value, patch } = useLive<Row[], Row>(
      {
        key: ['rows', branch],
        load: async () => {
          loads += 1
          return { value: [{ id: branch, state: 'new' }], position: 'a:0' }
        },
        types: ['row.*'],
      },
      (rows, event) => reduced ?? [...rows.filter((row) => row.id !== event.data.id), event.data],
    )
    const add = () => void patch((rows) => [...rows, { id: 0, state: 'mine' }])
    return <button type="button" onClick={add}>{`${status} ${value?.map((row) => row.id + row.state)};`}</button>
  }

  test('is loaded once for all with the same key, follows events in one render a frame, and is loaded again after a resync', async () => {
    loads = 0
    const fake = createFake()
    const page = await render(
      <StrictMode>
        <CarillonProvider client={fake.client}>
          <Rows branch={1} />
          <Rows branch={1} />
        </CarillonProvider>
      </StrictMode>,
    )
    await frame()
    await frame()
    expect([page.text(), loads]).toEqual(['live 1new;'.repeat(2), 1])
    for (let n = 2; n < 100; n += 1) fake.emit('row.changed', { id: 2, state: String(n) })
    await frame()
    expect(page.text()).toBe('live 1new,299;'.repeat(2))
    await page.click()
    await frame()
    expect(page.text()).toBe('live 1new,299,0mine;'.repeat(2))
    fake.resync()
    await frame()
    await frame()
    expect([page.text(), loads]).toEqual(['live 1new;'.repeat(2), 2])
  })

  test('another key is another state; the newest reducer is used', async () => {
    const fake = createFake()
    const Page = (props: { branch: number; reduced?: Row[] }) => (
      <CarillonProvider client={fake.client}>
        <Rows {...props} />
      </CarillonProvider>
    )
    const page = await render(<Page branch={1} />)
    await frame()
    await page.again(<Page branch={2} reduced={[{ id: 7, state: 'newest' }]} />)
    await frame()
    await frame()
    expect(page.text()).toBe('live 2new;')
    await page.again(<Page branch={2} reduced={[{ id: 8, state: 'newest' }]} />)
    fake.emit('row.changed', {})
    await frame()
    expect(page.text()).toBe('live 8newest;')
    await page.unmount()
    await pass(1000)
    expect(fake.open).toBe(0)
  })
})
