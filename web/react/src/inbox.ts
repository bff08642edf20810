// What is in a person's inbox, how much of it is unread, and what do they want to get?

import type { CarillonEvent, Inbox, InboxFilter, InboxListSnapshot, InboxSummary } from '@carillon/client'
import { useListener } from './listener.js'
import { useClient } from './provider.js'
import { type Store, storeOf, useSource, useStore } from './store.js'

const loading: InboxListSnapshot = Object.freeze({
  status: 'loading',
  items: Object.freeze([]),
  hasMore: false,
  loadingMore: false,
  error: null,
})

/** A list of the inbox that is kept up to date, with `loadMore` and the marks of `inbox` (`read`, `archive`, …). */
export function useInbox(filter: InboxFilter = {}): InboxListSnapshot & {
  readonly loadMore: () => Promise<void>
  readonly reload: () => Promise<void>
  readonly inbox: Inbox
} {
  const client = useClient()
  const key = JSON.stringify(filter)
  // The same object for the same filter.
  const list = client.inbox.list(filter)
  const store = storeOf<Store<InboxListSnapshot>>(client, `inbox ${key}`, () => ({
    get: () => list.snapshot,
    server: () => loading,
    on: (listener) => list.on(listener),
  }))
  const snapshot = useStore(store)
  return { ...snapshot, loadMore: list.loadMore, reload: list.reload, inbox: client.inbox }
}

/** How much of the inbox is unread and unseen, or null before it is known. `more`: there are more than 100. */
export function useInboxSummary(): InboxSummary | null {
  const client = useClient()
  const { inbox } = client
  return useSource<InboxSummary | null>(
    client,
    'summary',
    null,
    () => inbox.summary,
    (listener) => inbox.onSummary(listener),
  )
}

/** The number on a bell, or null before it is known: up to 100, which then means more. */
export function useUnreadCount(): number | null {
  return useInboxSummary()?.unread ?? null
}

/** Calls `handler` once for each notice as it comes. */
export function useNotice(handler: (event: CarillonEvent) => void): void {
  const client = useClient()
  useListener([client], handler, (call) => client.inbox.onNotice(call))
}
