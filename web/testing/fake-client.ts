// A client without a network, for tests of what stands on one: it does what it is told, and counts who listens.

import type {
  CarillonError,
  CarillonEvent,
  Channel,
  Client,
  ConnectionState,
  InboxFilter,
  InboxItem,
  InboxListSnapshot,
  InboxSummary,
  Live,
  LiveOptions,
  LiveSnapshot,
  Preferences,
  PresenceSnapshot,
  Resync,
} from '@carillon/client'

type Listener<Value> = (value: Value) => void

/** A value with listeners. */
class Source<Value> {
  readonly listeners = new Set<Listener<Value>>()
  constructor(
    public value: Value,
    readonly count: (by: number) => void,
  ) {}
  on = (listener: Listener<Value>) => {
    const mine: Listener<Value> = (value) => listener(value)
    this.listeners.add(mine)
    this.count(1)
    return () => {
      if (this.listeners.delete(mine)) this.count(-1)
    }
  }
  set(value: Value) {
    this.value = value
    for (const listener of [...this.listeners]) listener(value)
  }
}

export interface Fake {
  client: Client
  /** Subscriptions that are open now, and that were ever opened. */
  open: number
  opened: number
  /** Methods that were called, with what. */
  calls: [string, ...unknown[]][]
  state(state: ConnectionState): void
  emit(type: string, data?: unknown, more?: Partial<CarillonEvent>): CarillonEvent
  notice(item: Partial<InboxItem> & { title: string }, type?: string): void
  resync(): void
  /** Somebody else uses the page. */
  identify(person: string | null): void
  presence(channel: string, members: { user: string; meta?: unknown }[], more?: Partial<PresenceSnapshot>): void
  typing(channel: string, users: string[]): void
  inbox(items: InboxItem[], more?: Partial<InboxListSnapshot>): void
  summary(summary: Partial<InboxSummary>): void
  refuse(channel: string, code: string): void
  error(error: Partial<CarillonError> & { code: string }): void
  preferences(some: Partial<Preferences>): void
  /** What `request` answers. */
  answers: Map<string, unknown>
}

export function faultOf(code: string, more: object = {}): CarillonError {
  return Object.assign(new Error(code), { name: 'CarillonError' as const, code, ...more })
}

export const openState: ConnectionState = Object.freeze({
  status: 'open',
  code: 'welcome',
  reason: 'connected',
  transport: 'websocket',
  leader: true,
  connection: 'gateway-1-a',
  since: 0,
  identity: { tenant: 'studio-nova', user: 'mila', roles: ['staff'] },
})

export function createFake(): Fake {
  let seq = 0
  const count = (by: number) => {
    fake.open += by
    if (by > 0) fake.opened += by
  }
  const source = <Value>(value: Value) => new Source(value, count)
  const state = source<ConnectionState>({ status: 'idle', code: 'created', reason: 'nothing was asked for' })
  const events = source<CarillonEvent | null>(null)
  const resyncs = source<Resync | null>(null)
  const persons = source<string | null>(null)
  const errors = source<CarillonError | null>(null)
  const notices = source<CarillonEvent | null>(null)
  const summary = source<InboxSummary | null>(null)
  const lists = new Map<string, ReturnType<typeof list>>()
  const channels = new Map<string, ReturnType<typeof channel>>()
  let rows: InboxItem[] = []
  let extra: Partial<InboxListSnapshot> = {}
  let preferences: Preferences = {
    user: 'mila',
    types: null,
    quiet_hours: null,
    do_not_disturb_until: null,
    locale: null,
    defaults: {},
    type_defaults: {},
    quiet: false,
    quiet_until: null,
    next_change: null,
    zone: 'UTC',
    zone_data: '2026f',
  }

  const matches = (pattern: string, type: string) =>
    pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type
  const listen = (pattern: string, handler: (event: CarillonEvent) => unknown, name?: string) =>
    events.on((event) => {
      if (event && matches(pattern, event.type) && (name === undefined || event.channels.includes(name))) handler(event)
    })

  const shown = (filter: InboxFilter) =>
    rows
      .filter((item) =>
        filter.filter === 'unread'
          ? !item.read && !item.archived
          : filter.filter === 'archived'
            ? item.archived
            : filter.filter === 'all' || !item.archived,
      )
      .filter((item) => !filter.type || matches(filter.type, item.type))
  const snapshotOf = (filter: InboxFilter): InboxListSnapshot => ({
    status: 'live',
    items: shown(filter),
    hasMore: false,
    loadingMore: false,
    error: null,
    ...extra,
  })
  function list(filter: InboxFilter) {
    const snapshots = source<InboxListSnapshot>({ status: 'loading', items: [], hasMore: false, loadingMore: false, error: null })
    return {
      filter,
      snapshots,
      get snapshot() {
        return snapshots.value
      },
      on: snapshots.on,
      loadMore: async () => void fake.calls.push(['loadMore']),
      reload: async () => void fake.calls.push(['reload']),
    }
  }
  const refresh = () => {
    for (const one of lists.values()) one.snapshots.set(snapshotOf(one.filter))
    const unread = rows.filter((item) => !item.read && !item.archived).length
    summary.set({ version: (summary.value?.version ?? 0) + 1, unread, unseen: rows.filter((item) => !item.seen).length })
    return summary.value as InboxSummary
  }
  const change = (name: string, some: (item: InboxItem) => InboxItem | null) => async (at?: number) => {
    fake.calls.push([name, at])
    rows = rows.flatMap((item) => some(item) ?? [])
    return refresh()
  }
  const one =
    (name: string, some: Partial<InboxItem>) =>
    (at: number, ...more: unknown[]) => {
      fake.calls.push([name, at, ...more])
      rows = rows.map((item) => (item.seq === at ? { ...item, ...some } : item))
      return Promise.resolve(refresh())
    }
  const removed = new Map<number, InboxItem>()

  function live<State>(options: LiveOptions<State> & { channels?: readonly string[] }): Live<State> {
    const { initial } = options
    const where = { seq: 0, epoch: 'a' }
    const snapshots = source<LiveSnapshot<State>>(
      initial
        ? { status: 'live', value: initial.value, error: null, position: where }
        : { status: 'loading', value: undefined, error: null, position: null },
    )
    let offs: (() => void)[] = []
    const load = async () => {
      try {
        const { value } = await options.load({ signal: new AbortController().signal })
        snapshots.set({ status: 'live', value, error: null, position: where })
      } catch (error) {
        snapshots.set({ status: 'failed', value: snapshots.value.value, error, position: null })
      }
    }
    return {
      get snapshot() {
        return snapshots.value
      },
      on(listener) {
        if (offs.length === 0) {
          offs = [
            resyncs.on(() => void load()),
            ...(options.types ?? ['*']).map((pattern) =>
              listen(pattern, (event) => {
                const now = snapshots.value
                if (now.status === 'live') snapshots.set({ ...now, value: options.apply(now.value, event) })
              }),
            ),
          ]
          if (!initial) void load()
        }
        const off = snapshots.on(listener)
        return () => {
          off()
          if (snapshots.listeners.size > 0) return
          for (const end of offs) end()
          offs = []
        }
      },
      reload: load,
      patch(edit) {
        const now = snapshots.value
        if (now.status === 'live') snapshots.set({ ...now, value: edit(now.value) })
        return () => snapshots.set(now)
      },
    }
  }

  function channel(name: string) {
    const presence = source<PresenceSnapshot>({ count: 0, members: [], stale: true, error: null })
    const typing = source<readonly string[]>([])
    const joins = source(null)
    let error: CarillonError | null = null
    const made = {
      presenceSource: presence,
      typingSource: typing,
      refuse: (code: string) => {
        error = faultOf(code, { channels: [name] })
      },
      name,
      get error() {
        return error
      },
      on(pattern: string, handler: (event: CarillonEvent) => unknown, options?: object) {
        fake.calls.push(['channel.on', name, pattern, options])
        return listen(pattern, handler, name)
      },
      join: () => joins.on(() => {}),
      ready: () => (error ? Promise.reject(error) : Promise.resolve({ seq, epoch: 'a' })),
      publish: async (type: string, data?: unknown) => {
        fake.calls.push(['publish', name, type, data])
        return { id: 'e' }
      },
      typing: {
        start: () => void fake.calls.push(['typing.start', name]),
        stop: () => void fake.calls.push(['typing.stop', name]),
        get users() {
          return typing.value
        },
        on: typing.on,
      },
      presence: {
        get snapshot() {
          return presence.value
        },
        on: presence.on,
        set: async (meta: unknown) => void fake.calls.push(['presence.set', name, meta]),
      },
      state: live,
    }
    return made
  }
  const channelOf = (name: string) => {
    const found = channels.get(name) ?? channel(name)
    channels.set(name, found)
    return found
  }

  const client = {
    get state() {
      return state.value
    },
    onState: state.on,
    position: null,
    onResync: resyncs.on,
    onError: errors.on,
    connect: () => {
      fake.calls.push(['connect'])
      if (state.value.status !== 'open') state.set(openState)
    },
    ready: async () => {},
    close: () => {
      fake.calls.push(['close'])
      state.set({ status: 'closed', code: 'closed', reason: 'close() was called' })
    },
    identify: (person: string | null) => persons.set(person),
    attach: () => client,
    detach: () => {},
    switch: () => {},
    onIdentify: persons.on,
    on: listen,
    channel: (name: string) => channelOf(name) as unknown as Channel,
    live,
    request: async (method: string, path: string, options?: { query?: object }) => {
      fake.calls.push(['request', method, path, options?.query])
      const answer = fake.answers.get(path)
      if (answer instanceof Error) throw answer
      return { status: 200, body: structuredClone(answer), position: null, etag: null }
    },
    inbox: {
      get summary() {
        return summary.value
      },
      onSummary: summary.on,
      onNotice: notices.on,
      list: (filter: InboxFilter = {}) => {
        const key = JSON.stringify(filter)
        const found = lists.get(key) ?? list(filter)
        lists.set(key, found)
        if (rows.length > 0 && found.snapshots.value.status === 'loading') found.snapshots.value = snapshotOf(filter)
        return found
      },
      read: one('read', { read: true, seen: true }),
      unread: one('unread', { read: false }),
      archive: one('archive', { archived: true }),
      unarchive: one('unarchive', { archived: false }),
      snooze: one('snooze', { archived: true }),
      ack: one('ack', { read: true, acked_at: '2026-11-29T15:00:00Z' }),
      remove: (at: number) => {
        const item = rows.find((row) => row.seq === at)
        if (item) removed.set(at, item)
        return change('remove', (row) => (row.seq === at ? null : row))(at)
      },
      restore: (at: number) => {
        const item = removed.get(at)
        if (item) rows = [...rows, item].sort((a, b) => b.seq - a.seq)
        return change('restore', (row) => row)(at)
      },
      readAll: change('readAll', (row) => ({ ...row, read: true, seen: true })),
      seenAll: change('seenAll', (row) => ({ ...row, seen: true })),
      archiveAll: change('archiveAll', (row) => ({ ...row, archived: true })),
      clear: change('clear', () => null),
    },
    preferences: {
      get: async () => preferences,
      set: async (some: object) => {
        fake.calls.push(['preferences.set', some])
        preferences = { ...preferences, ...some }
        return preferences
      },
      test: async (type: string) => {
        fake.calls.push(['preferences.test', type])
        const verdict = { gets: !preferences.quiet, held: preferences.quiet, why: 'test' }
        return {
          type,
          priority: 'normal',
          quiet: preferences.quiet,
          quiet_until: null,
          inbox: { ...verdict, gets: true },
          toast: verdict,
          desktop: verdict,
          webhooks: verdict,
        }
      },
    },
  }

  const event = (type: string, data: unknown, more: Partial<CarillonEvent>): CarillonEvent => {
    seq += 1
    return Object.freeze({
      id: `e-${seq}`,
      type,
      data,
      source: 'test',
      time: new Date(Date.UTC(2026, 10, 29, 15, 0, seq)).toISOString(),
      seq,
      epoch: 'a',
      tenant: 'studio-nova',
      channels: ['tenant'],
      ...more,
    }) as CarillonEvent
  }

  const fake: Fake = {
    client: client as unknown as Client,
    open: 0,
    opened: 0,
    calls: [],
    answers: new Map(),
    state: (next) => state.set(next),
    emit(type, data, more = {}) {
      const made = event(type, data, more)
      events.set(made)
      return made
    },
    notice(item, type = 'notice') {
      const made = event(type, item.data ?? null, {
        notify: { title: item.title, ...(item.body && { body: item.body }) },
        ...(item.priority && { priority: item.priority }),
      })
      rows = [
        {
          seq: made.seq,
          id: made.id,
          type,
          priority: 'normal',
          time: made.time,
          read: false,
          seen: false,
          archived: false,
          requires_ack: false,
          ...item,
        },
        ...rows,
      ]
      refresh()
      notices.set(made)
      events.set(made)
    },
    identify: (person) => persons.set(person),
    resync: () => resyncs.set({ reason: 'too_old', position: { seq, epoch: 'a' } }),
    presence: (name, members, more = {}) =>
      channelOf(name).presenceSource.set({
        count: members.length,
        members: members.map((member, at) => ({ since: at, ...member })),
        stale: false,
        error: null,
        ...more,
      }),
    typing: (name, users) => channelOf(name).typingSource.set(users),
    inbox(items, more = {}) {
      rows = items
      extra = more
      refresh()
    },
    summary: (some) => summary.set({ version: 1, unread: 0, unseen: 0, ...summary.value, ...some }),
    refuse: (name, code) => channelOf(name).refuse(code),
    error: (error) => errors.set(faultOf(error.code, error)),
    preferences: (some) => {
      preferences = { ...preferences, ...some }
    },
  }
  return fake
}
