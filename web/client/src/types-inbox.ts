/** Which types do the inbox and preferences have? Only types: nothing of this file is in a bundle. */

import type { CarillonError, CarillonEvent, Priority, Unsubscribe } from './types.js'

// ----------------------------------------------------------------------------------------------------- inbox

/** An entry of somebody’s inbox. */
export interface InboxItem<Data = unknown> {
  readonly seq: number
  readonly id: string
  readonly type: string
  readonly title: string
  readonly body?: string
  readonly action?: string
  readonly data?: Data
  readonly priority: Priority
  readonly actor?: string
  readonly time: string
  readonly read: boolean
  readonly seen: boolean
  readonly archived: boolean
  readonly requires_ack: boolean
  readonly acked_at?: string
  readonly group?: string
  readonly count?: number
  readonly snoozed_until?: string
  readonly expires_at?: string
}

/** `more`: there are more than 100. */
export interface InboxSummary {
  readonly version: number
  readonly unread: number
  readonly unseen: number
  readonly more?: boolean
}

/** Which entries of the inbox are wanted, and how many at a time. */
export interface InboxFilter {
  readonly filter?: 'unread' | 'archived' | 'snoozed' | 'all'
  readonly type?: string
  readonly q?: string
  /** 1–200, default 20. */
  readonly limit?: number
}

export interface InboxPage extends InboxSummary {
  readonly items: readonly InboxItem[]
  readonly next: string | null
  readonly epoch: string
}

/** A list that is kept up to date: notices come in, marks of all devices are shown. */
export interface InboxList {
  readonly snapshot: InboxListSnapshot
  /** It loads with the first listener and ends with the last. */
  on(listener: (snapshot: InboxListSnapshot) => void): Unsubscribe
  /** The next page. One at a time; resolves at once when there is none. */
  loadMore(): Promise<void>
  reload(): Promise<void>
}

/** A new, frozen object with each change. */
export interface InboxListSnapshot {
  readonly status: 'loading' | 'live' | 'failed'
  readonly items: readonly InboxItem[]
  readonly hasMore: boolean
  readonly loadingMore: boolean
  readonly error: CarillonError | null
}

/**
 * Marks are shown at once, in every list and the summary, and taken back if the server refuses them (the promise then rejects).
 * `seq` is that of the item. The promises resolve with the counts after it.
 */
export interface Inbox {
  /** Null until it is known. A new, frozen object with each change. */
  readonly summary: InboxSummary | null
  /** While somebody listens, the summary is kept up to date. */
  onSummary(listener: (summary: InboxSummary) => void): Unsubscribe
  /** Each notice as it comes, once: for toasts. */
  onNotice(listener: (event: CarillonEvent) => void): Unsubscribe
  /** One page, not kept up to date. `after` is `next` of the page before. */
  page(filter?: InboxFilter & { readonly after?: string }): Promise<InboxPage>
  /** The same object for the same filter. */
  list(filter?: InboxFilter): InboxList

  read(seq: number): Promise<InboxSummary>
  unread(seq: number): Promise<InboxSummary>
  archive(seq: number): Promise<InboxSummary>
  unarchive(seq: number): Promise<InboxSummary>
  remove(seq: number): Promise<InboxSummary>
  /** Takes `remove` back. */
  restore(seq: number): Promise<InboxSummary>
  /** At most a year ahead; null takes it back. */
  snooze(seq: number, until: Date | string | null): Promise<InboxSummary>
  ack(seq: number): Promise<InboxSummary>
  /** Up to this item, the newest that is shown. Default: the newest of the loaded lists. */
  readAll(upTo?: number): Promise<InboxSummary>
  seenAll(upTo?: number): Promise<InboxSummary>
  archiveAll(upTo?: number): Promise<InboxSummary>
  /** Everything up to there is gone. This cannot be undone. */
  clear(upTo?: number): Promise<InboxSummary>

  /** Further channels whose notices come into the inbox. */
  follows(): Promise<readonly string[]>
  follow(channel: string): Promise<InboxSummary>
  unfollow(channel: string): Promise<InboxSummary>
}

// ----------------------------------------------------------------------------------------------- preferences

/** By which means people are told of an event. */
export type Means = 'inbox' | 'toast' | 'desktop' | 'webhooks'
/** A day of the week, for quiet hours. */
export type Weekday = 'mon' | 'tue' | 'wed' | 'thu' | 'fri' | 'sat' | 'sun'
/** By which means somebody wants events of a type. */
export type TypePreferences = Readonly<Record<string, Readonly<Partial<Record<Means, boolean>>>>>

/** When somebody does not want to be told. */
export interface QuietHours {
  readonly zone?: string | null
  readonly ranges?: readonly { readonly days: readonly Weekday[]; readonly from: string; readonly to: string }[] | null
}

/** What a person says. What is left out says nothing. */
export interface PreferencesInput {
  readonly types?: TypePreferences | null
  readonly quiet_hours?: QuietHours | null
  readonly do_not_disturb_until?: string | null
  readonly locale?: string | null
}

/** What is said, what holds without it, and how it is now. A page takes `quiet` from here and asks again at `next_change`. */
export interface Preferences extends PreferencesInput {
  readonly user: string
  readonly defaults: PreferencesInput
  readonly type_defaults: Readonly<
    Record<string, { readonly mandatory?: boolean; readonly defaults?: Readonly<Partial<Record<Means, boolean>>> }>
  >
  readonly quiet: boolean
  readonly quiet_until: string | null
  readonly next_change: string | null
  readonly zone: string
  readonly zone_data: string
}

/** Whether somebody gets something by one of the means, and why. */
export type Verdict = { readonly gets: boolean; readonly held: boolean; readonly why: string }
/** Would an event of a type be given to somebody, by each means, and why? */
export type PreferencesTest = Readonly<Record<Means, Verdict>> & {
  readonly type: string
  readonly priority: Priority
  readonly quiet: boolean
  readonly quiet_until: string | null
}

/** What somebody wants to get, and by which means. */
export interface PreferencesAccess {
  get(): Promise<Preferences>
  /** Sets all of it anew. */
  set(preferences: PreferencesInput): Promise<Preferences>
  /** Would this person get an event of this type now, and by which means? */
  test(type: string, options?: { readonly at?: string; readonly priority?: Priority }): Promise<PreferencesTest>
}
