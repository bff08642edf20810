// How does a component show rows that were loaded once and follow the events?

import type { CarillonEvent, Client, Live, LiveOptions, LiveSnapshot, PositionLike } from '@carillon/client'
import { useEffect } from 'react'
import { useClient } from './provider.js'
import { type Any, type Store, storeOf, type Unsubscribe, useStore } from './store.js'

/** What is loaded, and from which channels its changes come. */
export interface LiveQuery<State> {
  /** Names the state: the same key is the same state, in every component. Another key loads again. */
  readonly key: readonly unknown[]
  /** Fetches the rows, with the position at which they were read (`Carillon-Position`). */
  readonly load: (request: {
    readonly signal: AbortSignal
    readonly client: Client
  }) => Promise<{ readonly value: State; readonly position: PositionLike }>
  /** Channels to join for it, beyond those of the client. */
  readonly channels?: readonly string[]
  /** Only events of these patterns. */
  readonly types?: readonly string[]
  /** What a server rendered, with its position: it is not loaded again. */
  readonly initial?: { readonly value: State; readonly position: PositionLike }
}

/** The rows after an event. A new value, or the same if nothing changed. */
export type Reducer<State, Data = Any> = (value: State, event: CarillonEvent<Record<string, Data>>) => State

interface LiveStore<State> extends Store<LiveSnapshot<State>> {
  readonly live: Live<State>
  /** What the last render gave: its functions are called. */
  readonly newest: { query: LiveQuery<State>; reducer: Reducer<State> }
}

function make<State>(client: Client, query: LiveQuery<State>, reducer: Reducer<State>): LiveStore<State> {
  const { channels, types, initial } = query
  const newest = { query, reducer }
  const live: Live<State> = client.live<State>({
    load: ({ signal }) => newest.query.load({ signal, client }),
    apply: (value, event) => newest.reducer(value, event as never),
    channels,
    types,
    initial,
  } as LiveOptions<State>)
  // A server shows what there is before anything was loaded, and so does a page at first.
  const first = live.snapshot
  return { live, newest, get: () => live.snapshot, server: () => first, on: (listener) => live.on(listener) }
}

/**
 * Rows that are loaded once, and then changed by each event after exactly the position at which they were read: none missed, none twice. After a
 * `resync` they are loaded again. A burst of events is one render.
 */
export function useLive<State, Data = Any>(
  query: LiveQuery<State>,
  reducer: Reducer<State, Data>,
): LiveSnapshot<State> & {
  readonly reload: () => Promise<void>
  /** An optimistic change, shown at once. Returns what takes it back. */
  readonly patch: (change: (value: State) => State) => Unsubscribe
} {
  const client = useClient()
  const store = storeOf(client, `live ${JSON.stringify(query.key)}`, () => make(client, query, reducer))
  useEffect(() => {
    Object.assign(store.newest, { query, reducer })
  })
  const snapshot = useStore(store)
  const { reload, patch } = store.live
  return { ...snapshot, reload, patch }
}
