// Does a component show nothing of the person before?

import { expect, test } from 'vitest'
import { createFake } from '../../testing/fake-client.js'
import { CarillonProvider, useEvents, usePreferences, useStats } from '../src/index.js'
import { frame, pass, render } from './harness.js'

test('answers and events of the person before are gone at once, and what they changed last is not said for the next', async () => {
  const fake = createFake()
  fake.answers.set('/v1/stats', { connections: 3 })
  fake.preferences({ locale: 'de', types: { 'anna.*': { toast: false } } })
  let change: ReturnType<typeof usePreferences>['change'] = async () => {}
  function Page() {
    const preferences = usePreferences()
    change = preferences.change
    return <>{`${preferences.value?.locale} ${useStats().value?.connections} ${useEvents('*').map(({ type }) => type)}`}</>
  }
  const page = await render(
    <CarillonProvider client={fake.client}>
      <Page />
    </CarillonProvider>,
  )
  await frame()
  fake.emit('order.paid')
  await frame()
  expect(page.text()).toBe('de 3 order.paid')
  const [first, second] = [change({ locale: 'fr' }), change({ locale: 'es' })]
  const outcome = Promise.allSettled([first, second])
  fake.answers.set('/v1/stats', { connections: 4 })
  fake.preferences({ locale: 'hi', types: null })
  fake.identify(null)
  fake.identify('bob')
  expect((await outcome).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await frame()
  await frame()
  expect(page.text()).toBe('hi 4 ')
  expect(fake.calls.filter(([name]) => name === 'preferences.set')).toEqual([])
})

test('where nobody is signed in nothing is asked for', async () => {
  const fake = createFake()
  fake.answers.set('/v1/stats', { connections: 3 })
  const Page = () => <>{`${useStats({ every: null }).status}`}</>
  const page = await render(
    <CarillonProvider client={fake.client}>
      <Page />
    </CarillonProvider>,
  )
  await frame()
  expect(page.text()).toBe('ready')
  const { length } = fake.calls
  fake.identify(null)
  await pass(1000)
  expect([page.text(), fake.calls.length]).toEqual(['loading', length])
})

test('quiet hours that changed long ago by the clock of the page are not asked for once a second', async () => {
  const fake = createFake()
  let asked = 0
  const { get } = fake.client.preferences
  Object.assign(fake.client.preferences, {
    get: () => {
      asked += 1
      return get()
    },
  })
  // The clock of the page is three hours ahead.
  fake.preferences({ next_change: new Date(Date.now() - 10_800_000).toISOString() })
  const Page = () => <>{usePreferences().status}</>
  await render(
    <CarillonProvider client={fake.client}>
      <Page />
    </CarillonProvider>,
  )
  await pass(60_000)
  expect(asked).toBe(1)
  await pass(3_600_000)
  expect(asked).toBeGreaterThan(2)
  expect(asked).toBeLessThan(6)
})
