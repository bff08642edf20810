// How does an answer of REST become a store that is asked for again?

import type { Client } from '@carillon/client'
import { all, type Store, storeOf } from './store.js'

/** A new object with each change. `value` stays while it is asked for again, and when that fails. */
export interface Answer<Value> {
  readonly status: 'loading' | 'ready' | 'failed'
  readonly value: Value | undefined
  readonly error: unknown
}

const unasked: Answer<never> = Object.freeze({ status: 'loading', value: undefined, error: null })

export interface Query<Value> {
  readonly load: (signal: AbortSignal) => Promise<Value>
  /** When to ask again after this answer, in milliseconds; null: not by itself. */
  readonly again: (value: Value | undefined) => number | null
}

export interface QueryStore<Value> extends Store<Answer<Value>> {
  reload(): Promise<void>
  /** Shows this value, until the next answer. */
  put(value: Value): void
}

/** One question for all who ask it by this name: asked with the first listener, and again while somebody listens and the page is seen. */
export function queryOf<Value>(client: Client, name: string, query: Query<Value>): QueryStore<Value> {
  return storeOf<QueryStore<Value>>(client, name, () => {
    let now: Answer<Value> = unasked
    let tell: (() => void) | null = null
    let asked: AbortController | null = null
    let timer: ReturnType<typeof setTimeout> | undefined
    const stop = () => {
      clearTimeout(timer)
      asked?.abort()
      asked = null
    }
    const set = (next: Answer<Value>) => {
      now = next
      tell?.()
      const after = query.again(next.value)
      // Not all pages at once; a timer takes 2^31 ms at most.
      if (after !== null && tell)
        timer = setTimeout(wake, Math.min(Math.max(after, 1000) * (1 + Math.random() / 10), 2 ** 31 - 1))
    }
    const page = globalThis.document as Document | undefined
    const wake = () => {
      if (page?.visibilityState !== 'hidden') void reload()
    }
    const reload = async () => {
      stop()
      const mine = new AbortController()
      asked = mine
      const outcome = await query.load(mine.signal).then(
        (value): Answer<Value> => ({ status: 'ready', value, error: null }),
        (error: unknown): Answer<Value> => ({ status: 'failed', value: now.value, error }),
      )
      if (asked === mine) set(outcome)
    }
    return {
      get: () => now,
      server: () => unasked,
      reload,
      put(value) {
        stop()
        set({ status: 'ready', value, error: null })
      },
      on(listener) {
        tell = listener
        const end = all([
          client.onResync(() => void reload()),
          // Nobody is shown what was the answer for somebody else.
          client.onIdentify((person) => {
            stop()
            now = unasked
            listener()
            if (person !== null) void reload()
          }),
        ])
        page?.addEventListener('visibilitychange', wake)
        void reload()
        return () => {
          tell = null
          stop()
          end()
          page?.removeEventListener('visibilitychange', wake)
        }
      },
    }
  })
}
