/** Which types does a program see that uses the client? Only types: nothing of this file is in a bundle. */

import type { Inbox, PreferencesAccess } from './types-inbox.js'

export type * from './types-inbox.js'

/** `() => void` that takes back what was asked for. A second call does nothing. */
export type Unsubscribe = () => void

// ---------------------------------------------------------------------------------------------------- events

/** Without an interface of your own: any type, any data. */
// biome-ignore lint/suspicious/noExplicitAny: an application that names no types may read what it likes
export type AnyEvents = Record<string, any>

/** The names of the event types. */
export type EventType<Events extends object> = keyof Events & string

/** A type, the beginning of one followed by one `*` at the end, or `*` for all. */
export type Pattern<Events extends object> = EventType<Events> | `${string}*`

/** The types a pattern lets through. */
export type Matching<Events extends object, P extends string> =
  string extends EventType<Events>
    ? string
    : P extends `${infer Beginning}*`
      ? Extract<EventType<Events>, `${Beginning}${string}`>
      : Extract<EventType<Events>, P>

/** How urgent an event is. */
export type Priority = 'low' | 'normal' | 'high' | 'urgent' | 'critical'

/** Where a log stands: `seq` counts within one `epoch` only. */
export interface Position {
  readonly seq: number
  readonly epoch: string
}

/** A position, or the text `<epoch>:<seq>` that `Carillon-Position` has. */
export type PositionLike = Position | string

/** What an application wants people to be told with an event. */
export interface Notify {
  readonly title?: string
  readonly body?: string
  readonly action?: string
  readonly group?: string
  readonly priority?: Priority
  readonly requires_ack?: boolean
  readonly expires_at?: string
}

/** An event of the log: its CloudEvents attributes, and where it stands. Frozen. */
export type CarillonEvent<Events extends object = AnyEvents, Type extends string = EventType<Events>> = Type extends string
  ? {
      readonly id: string
      readonly type: Type
      readonly data: Type extends keyof Events ? Events[Type] : unknown
      readonly source: string
      /** RFC 3339, as the publisher says. It orders nothing: `seq` does. */
      readonly time: string
      readonly subject?: string
      readonly actor?: string
      readonly priority?: Priority
      /** The key of which this event is the latest value. */
      readonly latestkey?: string
      readonly notify?: Notify
      readonly seq: number
      readonly epoch: string
      readonly tenant: string
      /** Every channel it was published to. */
      readonly channels: readonly string[]
      /** It comes from the past, asked for with `history`. */
      readonly replay?: true
      /** Extension attributes. */
      readonly [extension: string]: unknown
    }
  : never

/**
 * Called once for each event, in the order of the log. The cursor moves past the event when all of its handlers have
 * returned, and the promises they returned are settled. One that throws is reported to `onError`; the others are still called.
 */
export type Handler<Events extends object = AnyEvents, Type extends string = EventType<Events>> = (
  event: CarillonEvent<Events, Type>,
) => unknown

// ------------------------------------------------------------------------------------------------ connection

/** By which way events come. */
export type Transport = 'websocket' | 'sse' | 'poll'

/** `key:<id>` as `user` is an API key. */
export interface Identity {
  readonly tenant: string
  readonly user: string
  readonly roles: readonly string[]
}

interface Stated {
  /** Why it is so, for programs. `closed by 4503` and the like are `close_4503`. */
  readonly code: string
  /** Why it is so, for people. */
  readonly reason: string
}

/**
 * How the connection is. Each change is a new, frozen object; the same object means that nothing has changed.
 *
 * - `idle`: nothing was asked for yet, or `identify(null)` was called.
 * - `connecting`: a token is fetched or a connection is being made. `attempt` counts from 1.
 * - `open`: events come. `leader` is false in a tab that is served by another.
 * - `waiting`: the last attempt failed; the next begins at `retryAt` (milliseconds since 1970).
 * - `offline`: the browser says that there is no network. It goes on by itself.
 * - `closed`: `close()` was called.
 * - `failed`: nobody but the application can mend it (`code`). `connect()` tries again.
 */
export type ConnectionState =
  | (Stated & { readonly status: 'idle' })
  | (Stated & { readonly status: 'connecting'; readonly attempt: number })
  | (Stated & {
      readonly status: 'open'
      readonly transport: Transport
      readonly leader: boolean
      readonly identity: Identity
      readonly connection: string
      /** When it became so, in milliseconds since 1970. */
      readonly since: number
    })
  | (Stated & { readonly status: 'waiting'; readonly attempt: number; readonly retryAt: number })
  | (Stated & { readonly status: 'offline' })
  | (Stated & { readonly status: 'closed' })
  | (Stated & { readonly status: 'failed' })

/** What a connection may be; the meanings stand at `ConnectionState`. */
export type ConnectionStatus = ConnectionState['status']

/** Continuity is lost: what was shown may be old. Load it again; events go on after `position`. */
export interface Resync {
  readonly reason: string
  readonly position: Position
}

/**
 * What went wrong. `code` is the server's, or one of ours:
 *
 * | code | |
 * |---|---|
 * | `unauthorized` | `getToken` gave none, or its token was refused twice |
 * | `token_timeout` · `token_failed` | `getToken` did not answer within 10 s · threw |
 * | `handler` | a handler threw, or its promise was rejected; `cause` has it |
 * | `queue_full` · `queue_expired` | 256 frames wait for the connection · one has waited for 30 s |
 * | `disconnected` | the connection ended before the answer came |
 * | `closed` | `close()` or `identify` ended it; or it is asked of a client that is closed |
 * | `network` · `timeout` | a request over HTTP got no answer |
 * | `invalid_answer` | what answered a request is not the API: no JSON came |
 * | `misuse` | the program uses the client wrongly; told once each |
 * | `storage` | the storage refused to keep the cursor; it is kept in memory |
 */
export interface CarillonError extends Error {
  readonly name: 'CarillonError'
  readonly code: string
  /** The status of an HTTP answer. */
  readonly status?: number
  /** After how many milliseconds the same may succeed: where the server says so, and of a request with no answer or a 5xx one. */
  readonly retryMs?: number
  readonly channels?: readonly string[]
  /** The faults of a request, with JSON pointers into it. */
  readonly errors?: readonly { readonly pointer?: string; readonly code: string; readonly detail?: string }[]
  readonly cause?: unknown
}

/** Why a token is asked for: for the first time, because the old one ends soon, or because it was refused. */
export type TokenReason = 'connect' | 'expiring' | 'refused'

/** What the client keeps of itself between two loads of a page: `localStorage`, `sessionStorage`, or your own. */
export interface StorageLike {
  getItem(key: string): string | null
  setItem(key: string, value: string): void
  removeItem(key: string): void
}

/** What a client is made with; `url` and `getToken` are needed. */
export interface ClientOptions {
  /** `https://events.example.com`: where the gateways are. A path is kept: `/v1/ws` is added to it. */
  readonly url: string
  /** Where REST is, if it is elsewhere. Default: `url`. */
  readonly api?: string
  /** A new token each time; `null` means that nobody is signed in. Asked for by one caller at a time, and given 10 s. */
  readonly getToken: (request: { readonly reason: TokenReason }) => Promise<string | null> | string | null
  /** Needed for tokens of several tenants. One client is for one tenant: `attach` makes those of the others. */
  readonly tenant?: string
  /** Names this installation: what it has handled is then acknowledged, and can be asked for. */
  readonly device?: string
  /** Keeps the cursor over a reload: what came in between is then delivered. Default: in memory. */
  readonly storage?: StorageLike | null
  /** Where to begin, if nothing is kept: the position at which a page was rendered. */
  readonly position?: PositionLike
  /** One socket for all tabs of this browser. Default: where locks and broadcast channels exist. */
  readonly tabs?: boolean
  /** Tabs with the same name share a socket; tabs of different people must not. Default: from `url` and `tenant`. */
  readonly name?: string
  /** Only these types come, on all channels (1–16 patterns). Default: every type. */
  readonly types?: readonly string[]
  /** Connect as soon as something is asked for (a handler, a channel, `connect()`). Default: true; else only `connect()` does. */
  readonly autoConnect?: boolean
  /** Default: on the console as warnings. */
  readonly onError?: (error: CarillonError) => void
  /** Where the platform has none (Node before 22): `ws`, say. Without one it goes on over event streams. */
  readonly WebSocket?: typeof globalThis.WebSocket | undefined
}

/** What is otherwise than with the client that attaches. */
export interface AttachOptions {
  /** Where to begin in this tenant, if nothing is kept. */
  readonly position?: PositionLike
  /** Only these types come. */
  readonly types?: readonly string[]
}

// ---------------------------------------------------------------------------------------------------- client

/** A client of `@carillon/client/core`: events, and what keeps them whole. */
export interface CoreClient<Events extends object = AnyEvents>
  extends Omit<
    Client<Events>,
    'channel' | 'publish' | 'activity' | 'ping' | 'inbox' | 'preferences' | 'request' | 'live' | 'attach' | 'detach' | 'switch'
  > {
  channel(name: string): CoreChannel<Events>
}

/** A channel of such a client. */
export type CoreChannel<Events extends object = AnyEvents> = Pick<Channel<Events>, 'name' | 'join' | 'ready' | 'error'> & {
  on<P extends Pattern<Events>>(pattern: P, handler: Handler<Events, Matching<Events, P>>): Unsubscribe
}

/** What a handler gets beside what comes from now on. */
export interface HandlerOptions {
  /** First the newest n events of the past (1–1,000), marked `replay`; then what comes, without a gap or a repeat. */
  readonly history?: number
}

/** How an event is published. */
export interface PublishOptions {
  /** Default: a new one. The same id twice is one event. */
  readonly id?: string
  /** True: only who is here now gets it, as a signal. Default: as the channel's rule says. */
  readonly ephemeral?: boolean
  /** Does this connection get it, too? */
  readonly echo?: boolean
}

/** `seq` and `epoch` are left out for signals. `degraded`: only those at the same node got it. */
export interface Published {
  readonly id: string
  readonly seq?: number
  readonly epoch?: string
  readonly degraded?: boolean
}

/** Events of the past, and up to where they are complete. */
export interface HistoryPage<Events extends object = AnyEvents> {
  /** Ascending. */
  readonly events: readonly CarillonEvent<Events>[]
  /** Older ones were left out. */
  readonly more: boolean
  /** The page is complete up to here. */
  readonly position: Position
}

/** The events of one tenant for one person, over a connection that resumes where it stopped. */
export interface Client<Events extends object = AnyEvents> {
  readonly state: ConnectionState
  /** Called with each change; not with the present state. */
  onState(listener: (state: ConnectionState) => void): Unsubscribe

  /** Everything up to here was handled. Null before the first welcome. */
  readonly position: Position | null
  /** Reload what you show. `channel.state` and the inbox do so by themselves. */
  onResync(listener: (resync: Resync) => void): Unsubscribe
  /** Also without a listener nothing is lost: errors of calls reject their promises. */
  onError(listener: (error: CarillonError) => void): Unsubscribe

  /** Connects, or tries again at once. Never throws; look at `state`. */
  connect(): void
  /** Resolves when `open`; rejects when `failed` or `closed`, also if it is so already. */
  ready(): Promise<void>
  /**
   * Ends the connection; handlers stay, and `connect()` goes on after the last event. Until then inbox and rows ask for nothing, and each call
   * rejects with `closed`.
   */
  close(): void
  /**
   * Somebody else uses this page from now on. `null`: nobody. Ends the socket here and in the tabs it serves, forgets cursor, storage,
   * inbox and what waits to be sent. Handlers stay. With a key (their id, say) it connects again and asks `getToken`.
   */
  identify(person: string | null): void
  /**
   * Called at once when somebody else uses the page (by `identify`, or by a token of another person), `null`: nobody; and by `switch`. Forget what you
   * show of the one before. `live`, `channel.state` and the inbox do so by themselves; calls that were under way reject with `identity_changed`.
   */
  onIdentify(listener: (person: string | null) => void): Unsubscribe

  /**
   * A client for another tenant that the token names, over the same connection: its own channels, cursor, inbox and rows. The same one for
   * the same tenant. `identify`, `close()` and `connect()` of this client are for it, too. Up to 16 tenants.
   */
  attach(tenant: string, options?: AttachOptions): Client<Events>
  /** Closes the client of that tenant; the others stay connected. */
  detach(tenant: string): void
  /**
   * This client is for another tenant from now on. Handlers and channels stay; what was known of the tenant before is forgotten, and
   * `onIdentify` is told. Rows and inbox are loaded anew.
   */
  switch(tenant: string): void

  /** Events of all channels that this client is in: one's own (`tenant`, `user:…`, `role:…`) and those joined here. */
  on<P extends Pattern<Events>>(pattern: P, handler: Handler<Events, Matching<Events, P>>): Unsubscribe
  /** The same object for the same name. It is joined while something listens to it, or `join()` is held. */
  channel(name: string): Channel<Events>

  /** State that is loaded once and kept up to date by events. See `Channel.state`. */
  live<State>(options: LiveOptions<State, Events> & { readonly channels?: readonly string[] }): Live<State>

  publish<Type extends EventType<Events>>(
    channel: string,
    type: Type,
    data?: Events[Type],
    options?: PublishOptions,
  ): Promise<Published>
  /** What somebody did, for the application's own statistics. Nobody is told. */
  activity(name: string, data?: object): Promise<void>
  /** How long the way to the gateway and back takes, in milliseconds. */
  ping(): Promise<number>

  readonly inbox: Inbox
  readonly preferences: PreferencesAccess
  /** Any REST call with the user's token: `client.request('GET', '/v1/stats')`. Rejects with a `CarillonError`. */
  request<Answer = unknown>(method: string, path: string, options?: RequestOptions): Promise<RestAnswer<Answer>>
}

/** What a request carries beside its method and path. */
export interface RequestOptions {
  readonly query?: Readonly<Record<string, string | number | boolean | null | undefined>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
}

/** `body` is null for 204 and 304. */
export interface RestAnswer<Answer> {
  readonly status: number
  readonly body: Answer
  /** Of `Carillon-Position`: where the log stood when this was read. */
  readonly position: Position | null
  readonly etag: string | null
}

// -------------------------------------------------------------------------------------------------- channels

/** A channel of the client’s tenant: its events, history and signals, who is there and who types. */
export interface Channel<Events extends object = AnyEvents> {
  readonly name: string
  on<P extends Pattern<Events>>(pattern: P, handler: Handler<Events, Matching<Events, P>>, options?: HandlerOptions): Unsubscribe
  /** Stay in the channel without a handler. */
  join(): Unsubscribe
  /** Live from this position on. Pending until something listens in the channel or `join()` is held; rejects with `forbidden` and other codes of the server. */
  ready(): Promise<Position>
  /** Why the client is not in the channel although something listens to it, or null. */
  readonly error: CarillonError | null
  /** What the log has of this channel: the newest n (1–1,000, default 50), or everything after a position. */
  history(options?: {
    readonly limit?: number
    readonly since?: PositionLike
    readonly type?: string
  }): Promise<HistoryPage<Events>>
  /** The latest event of every key, and where the log stood. */
  latest(): Promise<HistoryPage<Events>>
  publish<Type extends EventType<Events>>(type: Type, data?: Events[Type], options?: PublishOptions): Promise<Published>
  /** What others say to those who are here now: in no log, never repeated. */
  onSignal<P extends Pattern<Events>>(pattern: P, listener: (signal: Signal<Events, Matching<Events, P>>) => void): Unsubscribe
  readonly typing: Typing
  readonly presence: Presence
  /**
   * Rows that are loaded once and then follow the events, from exactly where they were read. Loaded again after a `resync`.
   * It is shared by all who hold it, and ends with its last listener.
   */
  state<State>(options: LiveOptions<State, Events>): Live<State>
}

/** What somebody says in a channel to those who are here now; it is in no log. */
export interface Signal<Events extends object = AnyEvents, Type extends string = EventType<Events>> {
  readonly channel: string
  /** The user's id, set by the server. */
  readonly from: string
  readonly type: Type
  readonly data: Type extends keyof Events ? Events[Type] : unknown
  readonly id?: string
}

/** Who types in a channel. */
export interface Typing {
  /** Call it with every key: at most one frame each 3 s is sent, and `stop` by itself 5 s after the last call. */
  start(): void
  stop(): void
  /** Who types, others only. A new array with each change. */
  readonly users: readonly string[]
  /** While somebody listens, the channel is joined. */
  on(listener: (users: readonly string[]) => void): Unsubscribe
}

/** Somebody who is in a channel. */
export interface Member {
  readonly user: string
  /** Milliseconds since 1970. */
  readonly since: number
  readonly meta?: unknown
}

/** Who is here. A new, frozen object with each change. */
export interface PresenceSnapshot {
  readonly count: number
  /** The first 200, by `since`. */
  readonly members: readonly Member[]
  /** Not known yet, or not up to date (connection or Redis away). */
  readonly stale: boolean
  /** `presence_forbidden` and the like. */
  readonly error: CarillonError | null
}

/** Who is in a channel. */
export interface Presence {
  readonly snapshot: PresenceSnapshot
  /** While somebody listens, the channel is joined and watched. */
  on(listener: (snapshot: PresenceSnapshot) => void): Unsubscribe
  /** Says something about oneself in this channel, and again after each reconnect. `null` takes it back. */
  set(meta: unknown): Promise<void>
}

/** How rows are loaded, and what an event changes in them. */
export interface LiveOptions<State, Events extends object = AnyEvents> {
  /** Fetches the rows with the position at which they were read, at or before the present. */
  readonly load: (request: {
    readonly signal: AbortSignal
  }) => Promise<{ readonly value: State; readonly position: PositionLike }>
  /** The rows after an event; returns a new value, or the same if nothing changed. Must not throw. */
  readonly apply: (value: State, event: CarillonEvent<Events>) => State
  /** Only events of these patterns. */
  readonly types?: readonly Pattern<Events>[]
  /** What a server rendered: it is not loaded again. */
  readonly initial?: { readonly value: State; readonly position: PositionLike }
}

/** A new, frozen object with each change. */
export type LiveSnapshot<State> =
  | { readonly status: 'loading'; readonly value: State | undefined; readonly error: null; readonly position: Position | null }
  | { readonly status: 'live'; readonly value: State; readonly error: null; readonly position: Position }
  | { readonly status: 'failed'; readonly value: State | undefined; readonly error: unknown; readonly position: Position | null }

/** Rows that were loaded once and follow the events. */
export interface Live<State> {
  readonly snapshot: LiveSnapshot<State>
  /** It loads with the first listener and ends with the last. */
  on(listener: (snapshot: LiveSnapshot<State>) => void): Unsubscribe
  /** Loads again; resolves when that has ended: look at `snapshot.status`. Does nothing while nobody listens. */
  reload(): Promise<void>
  /** An optimistic change: shown at once. Returns what takes it back. The next `load` replaces it. */
  patch(change: (value: State) => State): Unsubscribe
}
