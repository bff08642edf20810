/** How is the inbox there at once, and its code only when it is used? */

import { lazy } from './lazy.js'
import type { Inbox, InboxList, InboxListSnapshot } from './types.js'

const CALLS =
  'page read unread archive unarchive remove restore snooze ack readAll seenAll archiveAll clear follows follow unfollow'

const LOADING: InboxListSnapshot = Object.freeze({
  status: 'loading',
  items: [],
  hasMore: false,
  loadingMore: false,
  error: null,
})

export interface LazyInbox extends Inbox {
  /** Nothing of what was known is shown to anybody else. */
  forget(): void
}

export function lazyInbox(load: () => Promise<LazyInbox>, report: (error: unknown) => void): LazyInbox {
  const inbox = lazy(load, report)
  const lists = new Map<string, InboxList>()
  const calls: Record<string, (...given: unknown[]) => Promise<unknown>> = {}
  for (const name of CALLS.split(' '))
    calls[name] = async (...given) => ((await inbox.get()) as unknown as typeof calls)[name]!(...given)
  return Object.defineProperties(
    calls,
    Object.getOwnPropertyDescriptors({
      get summary() {
        return inbox.now?.summary ?? null
      },
      onSummary: (listener: never) => inbox.later((made) => made.onSummary(listener)),
      onNotice: (listener: never) => inbox.later((made) => made.onNotice(listener)),
      list(filter: { filter?: string; type?: string; q?: string; limit?: number } = {}) {
        const key = JSON.stringify([filter.filter, filter.type, filter.q, filter.limit])
        const real = (of: Inbox) => of.list(filter as never)
        const list = lists.get(key) ?? {
          get snapshot() {
            return inbox.now ? real(inbox.now).snapshot : LOADING
          },
          on: (listener) => inbox.later((made) => real(made).on(listener)),
          loadMore: async () => real(await inbox.get()).loadMore(),
          reload: async () => real(await inbox.get()).reload(),
        }
        lists.set(key, list)
        return list
      },
      forget: () => inbox.now?.forget(),
    }),
  ) as unknown as LazyInbox
}
