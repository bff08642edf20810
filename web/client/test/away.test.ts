// Is a person away exactly while none of their tabs is seen, however many there are and in whatever order they are hidden?

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { sayAway } from '../src/away.js'
import type { Channel } from '../src/types.js'

interface Asked {
  name: string
  mode: LockMode
  grant(): void
}

/** Web Locks as the specification has them: in the order of the requests, shared ones together. */
function locks() {
  const held = new Set<Asked>()
  let pending: Asked[] = []
  function settle() {
    for (const asked of [...pending]) {
      const others = [...held].filter(({ name }) => name === asked.name)
      if (asked.mode === 'exclusive' ? others.length > 0 : others.some(({ mode }) => mode === 'exclusive')) return
      pending = pending.filter((one) => one !== asked)
      held.add(asked)
      asked.grant()
    }
  }
  return {
    query: async () => ({ pending, held: [...held] }),
    request: (name: string, { mode, signal }: { mode: LockMode; signal: AbortSignal }, then: () => unknown) =>
      new Promise((resolve, reject) => {
        const asked: Asked = {
          name,
          mode,
          grant: () =>
            Promise.resolve()
              .then(then)
              .then(resolve, reject)
              .finally(() => {
                held.delete(asked)
                settle()
              }),
        }
        signal.addEventListener('abort', () => {
          pending = pending.filter((one) => one !== asked)
          reject(signal.reason)
          settle()
        })
        pending.push(asked)
        settle()
      }),
  }
}

/** What the person's `meta` was set to by any of the tabs, in its order. */
let said: unknown[]
let fails: Error | null
const channel: Pick<Channel, 'name' | 'presence'> = {
  name: 'branch:1',
  presence: {
    set: async (meta: unknown) => {
      await null
      if (fails) throw fails
      said.push(meta)
    },
  } as Channel['presence'],
}

class Tab extends EventTarget {
  visibilityState: DocumentVisibilityState = 'visible'
  async turn(to: DocumentVisibilityState) {
    this.visibilityState = to
    this.dispatchEvent(new Event('visibilitychange'))
    await settled()
  }
}

/** Locks and channels of this file do what they do before anything else has its turn. */
const settled = () => new Promise(setImmediate)

/** A channel between tabs. */
class Between {
  static all = new Set<Between>()
  onmessage: (() => void) | null = null
  constructor(readonly name: string) {
    Between.all.add(this)
  }
  postMessage() {
    for (const other of Between.all) if (other !== this && other.name === this.name) queueMicrotask(() => other.onmessage?.())
  }
  close() {
    Between.all.delete(this)
    this.onmessage = null
  }
}

async function open(state: DocumentVisibilityState = 'visible') {
  const tab = new Tab()
  tab.visibilityState = state
  const close = sayAway(channel, { meta: { desk: 4 } }, tab as never)
  await settled()
  return { tab, close }
}

const [away, here] = [
  { desk: 4, away: true },
  { desk: 4, away: false },
]

beforeEach(() => {
  said = []
  fails = null
  Between.all.clear()
  vi.stubGlobal('navigator', { locks: locks() })
  vi.stubGlobal('BroadcastChannel', Between)
})
afterEach(() => vi.unstubAllGlobals())

test('a tab that is hidden is away, and back when it is seen', async () => {
  const { tab, close } = await open()
  expect(said).toEqual([here])
  await tab.turn('hidden')
  expect(said).toEqual([here, away])
  await tab.turn('visible')
  expect(said).toEqual([here, away, here])
  close()
  await tab.turn('hidden')
  expect(said).toHaveLength(3)
})

test('nobody is away whose other tab is seen, and everybody when the last one is hidden or closed', async () => {
  const [one, other] = [await open(), await open()]
  await one.tab.turn('hidden')
  expect(said.at(-1)).toEqual(here)
  await other.tab.turn('hidden')
  expect(said.at(-1)).toEqual(away)
  await other.tab.turn('visible')
  expect(said.at(-1)).toEqual(here)
  // A tab that is closed lets go of its lock.
  other.close()
  await settled()
  expect(said.at(-1)).toEqual(away)
})

test('a tab that is opened in the background takes nobody away', async () => {
  const first = await open()
  await open('hidden')
  expect(said).toEqual([here])
  await first.tab.turn('hidden')
  expect(said.at(-1)).toEqual(away)
})

test('who changes from one tab to another is never away', async () => {
  const [one, other] = [await open(), await open('hidden')]
  const third = await open('hidden')
  for (let turns = 0; turns < 10; turns++) {
    const [from, to] = turns % 2 ? [other.tab, one.tab] : [one.tab, other.tab]
    // The one that comes into sight is told first, then the other.
    to.visibilityState = 'visible'
    to.dispatchEvent(new Event('visibilitychange'))
    await from.turn('hidden')
  }
  expect(said).not.toContainEqual(away)
  await one.tab.turn('hidden')
  await other.tab.turn('hidden')
  expect(said.at(-1)).toEqual(away)
  await third.tab.turn('visible')
  expect(said.at(-1)).toEqual(here)
})

test('in any order of events the last word is right', async () => {
  const tabs = await Promise.all(Array.from({ length: 4 }, () => open()))
  // Numbers that look like chance.
  let seed = 7
  const below = (most: number) => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * most)
  }
  for (let round = 0; round < 60; round++) {
    for (let change = below(4); change >= 0; change--) {
      const { tab } = tabs[below(4)]!
      tab.visibilityState = below(2) ? 'hidden' : 'visible'
      tab.dispatchEvent(new Event('visibilitychange'))
      if (below(2)) await null
    }
    await settled()
    const isSeen = tabs.some(({ tab }) => tab.visibilityState === 'visible')
    expect(said.at(-1), `round ${round}`).toEqual(isSeen ? here : away)
  }
})

test('without locks each tab speaks for itself, and what cannot be said is told', async () => {
  vi.stubGlobal('navigator', {})
  const { tab } = await open('hidden')
  expect(said).toEqual([away])
  await tab.turn('visible')
  expect(said).toEqual([away, here])
  const told: unknown[] = []
  fails = new Error('forbidden')
  sayAway(channel, { onError: (error) => told.push(error) }, new Tab() as never)
  await settled()
  expect(told).toEqual([fails])
})
