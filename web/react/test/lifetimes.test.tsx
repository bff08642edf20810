// Is there one subscription, and is nothing left, whatever mounts and unmounts?

import { StrictMode } from 'react'
import { expect, test, vi } from 'vitest'
import { createFake, openState } from '../../testing/fake-client.js'
import {
  CarillonProvider,
  useAnalytics,
  useChannel,
  useClient,
  useConnection,
  useEvent,
  useEvents,
  useInbox,
  useLive,
  useNotice,
  usePreferences,
  usePresence,
  useStats,
  useTyping,
  useUnreadCount,
} from '../src/index.js'
import { storeOf } from '../src/store.js'
import { frame, pass, render } from './harness.js'

function Everything() {
  useConnection()
  useChannel('branch:1')
  useEvent('a', () => {})
  useEvents('a')
  usePresence('branch:1')
  useTyping('branch:1')
  useInbox()
  useUnreadCount()
  useNotice(() => {})
  usePreferences()
  useStats()
  useAnalytics()
  useLive({ key: ['x'], load: async () => ({ value: 0, position: 'a:0' }) }, (value) => value)
  return null
}

const Status = () => <>{useConnection((state) => state.status)}</>

/** Clients made as a provider makes them. */
function maker() {
  const fakes: ReturnType<typeof createFake>[] = []
  const make = () => {
    const fake = createFake()
    fakes.push(fake)
    return fake.client
  }
  return { fakes, make }
}

test('nothing is connected where `connect` is false, and a client of the application is not closed', async () => {
  const fake = createFake()
  const page = await render(
    <CarillonProvider client={fake.client} connect={false}>
      x
    </CarillonProvider>,
  )
  await page.unmount()
  await pass(5000)
  expect(fake.calls).toEqual([])
})

test('a client that the provider made ends some time after it was unmounted, and not in StrictMode’s second mount', async () => {
  const { fakes, make } = maker()
  const page = await render(
    <StrictMode>
      <CarillonProvider client={make}>
        <Status />
      </CarillonProvider>
    </StrictMode>,
  )
  await pass(5000)
  const used = fakes.filter((fake) => fake.calls.length > 0)
  expect(used).toHaveLength(1)
  expect(used[0]?.calls.filter(([name]) => name === 'close')).toEqual([])
  expect(page.text()).toBe('open')
  await page.unmount()
  await pass(100)
  expect(used[0]?.client.state.status).toBe('open')
  await pass(1000)
  expect(used[0]?.client.state.status).toBe('closed')
  expect(fakes.every((fake) => fake.open === 0)).toBe(true)
})

test('StrictMode opens each subscription once', async () => {
  const [plain, strict] = [createFake(), createFake()]
  for (const fake of [plain, strict]) fake.state(openState)
  await render(
    <CarillonProvider client={plain.client}>
      <Everything />
    </CarillonProvider>,
  )
  await render(
    <StrictMode>
      <CarillonProvider client={strict.client}>
        <Everything />
      </CarillonProvider>
    </StrictMode>,
  )
  await frame()
  expect([strict.open, strict.opened]).toEqual([plain.open, plain.opened])
  await pass(5000)
  expect([strict.open, strict.opened]).toEqual([plain.open, plain.opened])
})

test('mounted and unmounted a hundred times, as hot reload does: nothing is left, and the count never grows', async () => {
  const fake = createFake()
  fake.state(openState)
  const Page = ({ round }: { round: number }) => (
    <StrictMode>
      <CarillonProvider client={fake.client}>
        <Everything key={round} />
      </CarillonProvider>
    </StrictMode>
  )
  const page = await render(<Page round={0} />)
  await pass(1000)
  const { open } = fake
  for (let round = 1; round <= 100; round += 1) {
    await page.again(<Page round={round} />)
    await frame()
    expect(fake.open).toBeLessThanOrEqual(3 * open)
    if (round % 10 !== 0) continue
    await pass(1000)
    expect(fake.open).toBe(open)
  }
  await page.unmount()
  await pass(1000)
  expect(fake.open).toBe(0)
  expect(vi.getTimerCount()).toBe(0)
})

test('a provider that is made anew a hundred times leaves one client open', async () => {
  const { fakes, make } = maker()
  const Page = ({ round }: { round: number }) => (
    <CarillonProvider key={round} client={make}>
      <Everything />
    </CarillonProvider>
  )
  const page = await render(<Page round={0} />)
  for (let round = 1; round < 100; round += 1) {
    await page.again(<Page round={round} />)
    await frame()
  }
  await pass(1000)
  expect(fakes).toHaveLength(100)
  expect(fakes.filter((fake) => fake.client.state.status === 'open')).toHaveLength(1)
  expect(fakes.filter((fake) => fake.open > 0)).toHaveLength(1)
})

test('what was rendered and never shown is forgotten, and what is shown later goes on', async () => {
  const [client, other] = [{}, {}]
  let made = 0
  const store = (owner: object) =>
    storeOf(owner, 'rows', () => ({ get: () => 0, server: () => 0, on: (_: () => void) => () => {}, made: ++made }))
  const first = store(client)
  const off = store(other).on(() => {})
  expect(store(client)).toBe(first)
  await pass(1000)
  expect([store(client).made, store(other).made]).toEqual([3, 2])
  await pass(1000)
  // Its first listener was late: it is the one for all again.
  const late = first.on(() => {})
  expect(store(client)).toBe(first)
  await pass(1000)
  expect(store(client)).toBe(first)
  off()
  late()
  await pass(1000)
  expect(store(client)).not.toBe(first)
})

test('useClient gives the client itself', async () => {
  const fake = createFake()
  let found: unknown
  function Look() {
    found = useClient()
    return null
  }
  await render(
    <CarillonProvider client={fake.client}>
      <Look />
    </CarillonProvider>,
  )
  expect(found).toBe(fake.client)
})
