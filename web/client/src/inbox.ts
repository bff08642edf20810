/** What is in a person's inbox, on this device as on the others? */

import type { CarillonError } from './errors.js'
import { createListeners } from './listeners.js'
import type { Frame } from './transport.js'
import type {
  CarillonEvent,
  Client,
  Inbox,
  InboxFilter,
  InboxItem,
  InboxList,
  InboxListSnapshot,
  InboxPage,
  InboxSummary,
  Unsubscribe,
} from './types.js'

type Change = Partial<InboxItem> & { deleted?: boolean }
const DONE: Record<string, { change: Change; method?: string; path?: string }> = {
  read: { change: { read: true, seen: true } },
  unread: { change: { read: false } },
  archive: { change: { archived: true } },
  unarchive: { change: { archived: false } },
  ack: { change: { read: true, seen: true } },
  remove: { change: { deleted: true }, method: 'DELETE', path: '' },
  restore: { change: { deleted: false }, method: 'PUT', path: '' },
}
const UP_TO: Record<string, Change> = {
  'read-all': { read: true, seen: true },
  'seen-all': { seen: true },
  'archive-all': { archived: true },
  clear: { deleted: true },
}
const COLLECT_MS = 150

interface Patch {
  hits(item: InboxItem): boolean
  readonly change: Change
}

interface List {
  readonly list: InboxList
  load(): Promise<void>
  show(): void
  forget(): void
  loaded(): readonly InboxItem[]
  readonly active: boolean
}

export interface InboxHost {
  request: Client['request']
  wake(): void
  /** Each event of one's own channels, as it comes. */
  onEvent(handler: (event: CarillonEvent) => void): Unsubscribe
  onFrame(listener: (frame: Frame) => void): Unsubscribe
  /** Something may have been missed: the connection is there again, or was reset. */
  onBack(listener: () => void): Unsubscribe
  report(error: unknown): void
}

const wanted = (item: InboxItem & { deleted?: boolean }, filter: InboxFilter['filter'], now: number): boolean => {
  if (item.deleted) return false
  const snoozed = !!item.snoozed_until && Date.parse(item.snoozed_until) > now
  if (filter === 'snoozed') return snoozed
  if (filter === 'archived') return item.archived
  if (snoozed) return false
  return filter === 'all' || (!item.archived && (filter !== 'unread' || !item.read))
}

export function createInbox(host: InboxHost): Inbox & { forget(): void } {
  let summary: InboxSummary | null = null
  let patches: readonly Patch[] = []
  const lists = new Map<string, List>()
  let stop: (() => void) | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let retry: ReturnType<typeof setTimeout> | undefined
  let failures = 0
  let users = 0
  /** Counts the persons: what was asked for another one says nothing. */
  let persons = 0

  const summaries = createListeners<InboxSummary>(host.report, (any) => use(any))
  const notices = createListeners<CarillonEvent>(host.report, (any) => use(any))

  /** While anybody looks, everything is kept up to date. */
  function use(any: boolean) {
    users += any ? 1 : -1
    if (users && !stop) {
      const undo = [
        host.onFrame(frame),
        host.onBack(() => void refresh()),
        host.onEvent((event) => {
          if (!event.notify || event.replay) return
          notices.emit(event)
          later()
        }),
      ]
      stop = () => {
        for (const one of undo) one()
      }
      host.wake()
      if (!summary) later(0)
    } else if (!users) {
      rest()
      stop?.()
      stop = null
    }
  }

  /** A burst is read once. */
  function later(ms = COLLECT_MS) {
    timer ??= setTimeout(() => {
      timer = undefined
      void refresh()
    }, ms)
  }

  function rest() {
    clearTimeout(timer)
    clearTimeout(retry)
    timer = retry = undefined
  }

  /** What found no answer, or a server that is busy, is asked for again: else it is old until the next notice. */
  function failed(error: CarillonError): CarillonError {
    if (stop && error.retryMs)
      retry ??= setTimeout(refresh, Math.max(Math.min(1_000 * 2 ** failures++, 30_000) * (1 + Math.random()), error.retryMs))
    return error
  }

  async function refresh() {
    clearTimeout(retry)
    retry = undefined
    const active = [...lists.values()].filter((list) => list.active)
    await Promise.all([...active.map((list) => list.load()), summarize()])
    if (!retry) failures = 0
  }

  async function summarize() {
    const mine = persons
    try {
      const { body } = await host.request<InboxSummary>('GET', '/v1/inbox/summary')
      if (mine === persons) count(body)
    } catch (error) {
      if (mine === persons) host.report(failed(error as CarillonError))
    }
  }

  function count({ version, unread, unseen, more }: InboxSummary | InboxPage, ofMark = false) {
    // An answer that was overtaken says nothing new; nor does one of before a mark that is shown already, and not answered.
    if (summary && (version < summary.version || (version === summary.version && patches.length && !ofMark))) return
    const next = Object.freeze({ version, unread, unseen, ...(more && { more }) })
    if (JSON.stringify(next) === JSON.stringify(summary)) return
    summary = next
    summaries.emit(next)
  }

  function frame(one: Frame) {
    if (one.type !== 'inbox') return
    if (one.retracted !== undefined || !summary || one.version !== summary.version + 1) {
      if (one.version === undefined || !summary || one.version > summary.version) later()
      return
    }
    count(one as unknown as InboxSummary)
    // What this device has done itself is shown already; what others did is read.
    if (!patches.length) later()
  }

  const showAll = () => {
    for (const list of lists.values()) if (list.active) list.show()
  }

  async function mark(path: string, method: string, patch: Patch, body?: object): Promise<InboxSummary> {
    patches = [...patches, patch]
    const [before, mine] = [summary, persons]
    if (summary) {
      const items = new Map([...lists.values()].flatMap((list) => list.loaded()).map((item) => [item.seq, item]))
      const { read, archived, deleted, seen } = patch.change
      const hit = [...items.values()].filter((item) => patch.hits(item))
      const unreadNow = hit.filter((item) => !item.read && !item.archived)
      const less =
        read || archived || deleted
          ? unreadNow.length
          : read === false
            ? -hit.filter((item) => item.read && !item.archived).length
            : 0
      const unseen = read || archived || deleted || seen ? unreadNow.filter((item) => !item.seen).length : 0
      guess({ ...summary, unread: Math.max(0, summary.unread - less), unseen: Math.max(0, summary.unseen - unseen) })
    }
    showAll()
    try {
      const { body: answer } = await host.request<InboxSummary>(method, path, body ? { body } : {})
      count(answer, true)
      await Promise.all([...lists.values()].filter((list) => list.active).map((list) => list.load()))
      return answer
    } catch (error) {
      if (mine === persons && before && summary && summary.version === before.version) guess(before)
      throw error
    } finally {
      patches = patches.filter((one) => one !== patch)
      showAll()
    }
  }

  function guess(next: InboxSummary) {
    summary = Object.freeze(next)
    summaries.emit(summary)
  }

  const one = (name: string, seq: number, body?: object) => {
    const { change, method = 'POST', path = `/${name}` } = DONE[name]!
    return mark(`/v1/inbox/${seq}${path}`, method, { hits: (item) => item.seq === seq, change }, body)
  }
  const upTo = async (name: string, given?: number) => {
    const newest = Math.max(0, ...[...lists.values()].flatMap((list) => list.loaded()).map((item) => item.seq))
    const seq = given ?? (newest || (await page({ limit: 1 })).items[0]?.seq)
    if (!seq) return summary ?? (await host.request<InboxSummary>('GET', '/v1/inbox/summary')).body
    return mark(`/v1/inbox/${name}`, 'POST', { hits: (item) => item.seq <= seq, change: UP_TO[name]! }, { up_to: seq })
  }
  const page = async (filter: InboxFilter & { after?: string } = {}) =>
    (await host.request<InboxPage>('GET', '/v1/inbox', { query: { ...filter } })).body

  function createList(filter: InboxFilter): List {
    let items: readonly InboxItem[] = []
    let next: string | null = null
    let pages = 1
    let [loading, again] = [null as Promise<void> | null, false]
    const nothing = { status: 'loading', hasMore: false, loadingMore: false, error: null } as const
    let snapshot: InboxListSnapshot = Object.freeze({ ...nothing, items })
    const listeners = createListeners<InboxListSnapshot>(host.report, (any) => {
      use(any)
      if (any) void load()
    })

    function show(more: Partial<InboxListSnapshot> = {}) {
      const now = Date.now()
      const shown = items
        .map(
          (item) => Object.assign({}, item, ...patches.filter(({ hits }) => hits(item)).map(({ change }) => change)) as InboxItem,
        )
        .filter((item) => wanted(item, filter.filter, now))
      snapshot = Object.freeze({ ...snapshot, items: Object.freeze(shown), hasMore: next !== null, ...more })
      listeners.emit(snapshot)
    }

    /** As many pages as are shown; what is asked meanwhile is read once more. */
    function load(): Promise<void> {
      again = true
      loading ??= (async () => {
        while (again) {
          again = false
          const mine = persons
          try {
            let [all, after, count_]: [InboxItem[], string | null, number] = [[], null, 0]
            do {
              const got: InboxPage = await page({ ...filter, ...(after && { after }) })
              if (mine !== persons) break
              all = all.concat(got.items)
              after = got.next
              if (!count_++) count(got)
            } while (after && count_ < pages)
            if (mine !== persons) continue
            items = all
            next = after
            show({ status: 'live', error: null })
          } catch (error) {
            if (mine === persons) show({ status: 'failed', error: failed(error as CarillonError) })
          }
        }
        loading = null
      })()
      return loading
    }

    return {
      load,
      show: () => show(),
      forget() {
        items = []
        next = null
        pages = 1
        show(nothing)
      },
      loaded: () => items,
      get active() {
        return listeners.size > 0
      },
      list: {
        get snapshot() {
          return snapshot
        },
        on: (listener) => listeners.add(listener),
        reload: load,
        async loadMore() {
          if (next === null || snapshot.loadingMore) return
          show({ loadingMore: true })
          const mine = persons
          try {
            const got = await page({ ...filter, after: next })
            if (mine !== persons) return
            const known = new Set(items.map((item) => item.seq))
            items = [...items, ...got.items.filter((item) => !known.has(item.seq))]
            next = got.next
            pages++
            show({ loadingMore: false })
          } catch (error) {
            if (mine === persons) show({ loadingMore: false, error: error as CarillonError })
            throw error
          }
        },
      },
    }
  }

  const follows = (method: string, channel: string) =>
    mark(`/v1/inbox/follows/${encodeURIComponent(channel)}`, method, { hits: () => false, change: {} })

  return {
    get summary() {
      return summary
    },
    onSummary: (listener) => summaries.add(listener),
    onNotice: (listener) => notices.add(listener),
    page,
    list(filter = {}) {
      const key = JSON.stringify([filter.filter, filter.type, filter.q, filter.limit])
      const list = lists.get(key) ?? createList(filter)
      lists.set(key, list)
      return list.list
    },
    read: (seq) => one('read', seq),
    unread: (seq) => one('unread', seq),
    archive: (seq) => one('archive', seq),
    unarchive: (seq) => one('unarchive', seq),
    remove: (seq) => one('remove', seq),
    restore: (seq) => one('restore', seq),
    ack: (seq) => one('ack', seq),
    snooze(seq, until) {
      const snoozed_until = until instanceof Date ? until.toISOString() : until
      const change = { snoozed_until } as Change
      return mark(`/v1/inbox/${seq}/snooze`, 'POST', { hits: (item) => item.seq === seq, change }, { until: snoozed_until })
    },
    readAll: (seq) => upTo('read-all', seq),
    seenAll: (seq) => upTo('seen-all', seq),
    archiveAll: (seq) => upTo('archive-all', seq),
    clear: (seq) => upTo('clear', seq),
    follows: async () => (await host.request<{ channels: string[] }>('GET', '/v1/inbox/follows')).body.channels,
    follow: (channel) => follows('PUT', channel),
    unfollow: (channel) => follows('DELETE', channel),
    forget() {
      persons++
      failures = 0
      rest()
      patches = []
      for (const list of lists.values()) list.forget()
      if (!summary) return
      // Who shows a number is told that it does not hold; the new one comes with the connection.
      summary = null
      summaries.emit(Object.freeze({ version: 0, unread: 0, unseen: 0 }))
    },
  }
}
