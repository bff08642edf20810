/** How is the inbox there at once, and its code only when it is used? */

import { once } from './channels.js'
import type { Inbox, InboxList, InboxListSnapshot, Unsubscribe } from './types.js'

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

export function lazyInbox(load: () => Promise<Inbox & { forget(): void }>, report: (error: unknown) => void): LazyInbox {
  let inbox: (Inbox & { forget(): void }) | null = null
  let loading: ReturnType<typeof load> | null = null
  const lists = new Map<string, InboxList>()
  const get = () => {
    loading ??= load().then((made) => {
      inbox = made
      return made
    })
    return loading
  }
  const later = (subscribe: (inbox: Inbox) => Unsubscribe): Unsubscribe => {
    let undo: Unsubscribe | null = inbox && subscribe(inbox)
    let gone = false
    if (!undo)
      get().then((made) => {
        if (!gone) undo = subscribe(made)
      }, report)
    return once(() => {
      gone = true
      undo?.()
    })
  }
  const calls: Record<string, (...given: unknown[]) => Promise<unknown>> = {}
  for (const name of CALLS.split(' '))
    calls[name] = async (...given) => ((await get()) as unknown as typeof calls)[name]!(...given)
  return Object.defineProperties(
    calls,
    Object.getOwnPropertyDescriptors({
      get summary() {
        return inbox ? inbox.summary : null
      },
      onSummary: (listener: never) => later((made) => made.onSummary(listener)),
      onNotice: (listener: never) => later((made) => made.onNotice(listener)),
      list(filter: { filter?: string; type?: string; q?: string; limit?: number } = {}) {
        const key = JSON.stringify([filter.filter, filter.type, filter.q, filter.limit])
        const real = (of: Inbox) => of.list(filter as never)
        const list = lists.get(key) ?? {
          get snapshot() {
            return inbox ? real(inbox).snapshot : LOADING
          },
          on: (listener) => later((made) => real(made).on(listener)),
          loadMore: async () => real(await get()).loadMore(),
          reload: async () => real(await get()).reload(),
        }
        lists.set(key, list)
        return list
      },
      forget: () => inbox?.forget(),
    }),
  ) as unknown as LazyInbox
}
