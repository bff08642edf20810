// How do notices look in the log, in what became of them, and while they are written?

import { get } from '../../api.js'

export interface Texts {
  readonly title?: string
  readonly body?: string
}

/** The attribute `notify` of an event: what was said. */
export interface Notify {
  readonly title?: string | undefined
  readonly body?: string | undefined
  readonly locales?: Readonly<Record<string, Texts>>
  readonly priority?: string
  readonly action?: string
  readonly group?: string
  readonly requires_ack?: boolean
  readonly expires_at?: string
}

export interface Row {
  readonly seq: number
  readonly channels: readonly string[]
  readonly event: {
    readonly id: string
    readonly type: string
    readonly time: string
    readonly actor?: string
    readonly priority?: string
    readonly notify?: string
  }
}

export interface Notice {
  readonly id: string
  readonly seq: number
  readonly type: string
  readonly time: string
  readonly actor: string | null
  readonly channels: readonly string[]
  readonly notify: Notify
}

export interface Person {
  readonly user: string
  readonly delivered: boolean
  readonly seen: boolean
  readonly read: boolean
  readonly acked_at?: string
}

/** What became of a notice. */
export interface Status {
  readonly id: string
  readonly seq: number
  readonly type: string
  readonly title: string
  readonly time: string
  readonly requires_ack: boolean
  readonly expires_at?: string
  readonly retracted_at?: string
  readonly audience: number
  readonly delivered: number
  readonly seen: number
  readonly read: number
  readonly acked: number
  readonly not_acked?: readonly Person[]
  readonly people?: readonly Person[]
  readonly next: string | null
  readonly escalate?: readonly {
    readonly after: string
    readonly to: string
    readonly who: string
    readonly due_at: string | null
    readonly told: number
    readonly held: number
  }[]
}

export const pathOf = (id: string) => `/v1/notices/${encodeURIComponent(id)}`

/** Whether it is a notice, and which. */
export function noticeOf({ seq, channels, event }: Row): Notice | null {
  if (event.notify === undefined) return null
  let notify: Notify
  try {
    notify = JSON.parse(event.notify) as Notify
  } catch {
    return null
  }
  const { id, type, time, actor = null } = event
  return { id, seq, type, time, actor, channels, notify }
}

interface EventsPage {
  readonly events: readonly Row[]
  readonly next: string | null
}

/** Pages of the log that are read for one answer: where notices are rare, they are read on by a button. */
const PAGES = 5
const STEP = 20

/** The next newest notices of the log, some twenty, unless it takes too many pages to find so many. */
export async function newest(tenant: string, after: string | null, signal: AbortSignal) {
  const rows: Notice[] = []
  let next = after
  for (let page = 0; page < PAGES; page += 1) {
    const query: Record<string, string | number | null> = { tenant, q: '"notify":', limit: STEP, after: next }
    const found: EventsPage = await get<EventsPage>('/v1/events', { signal, query })
    rows.push(...found.events.map(noticeOf).filter((one) => one !== null))
    next = found.next
    if (next === null || rows.length >= STEP) break
  }
  return { rows, next }
}

/** What it says in each of its languages; what a language leaves out is as without one. */
export function textsOf({ title = 'No title yet', body, locales = {} }: Notify) {
  const others = Object.entries(locales).map(([locale, texts]) => ({
    locale,
    title: texts.title ?? title,
    body: texts.body ?? body,
  }))
  return [{ locale: null, title, body }, ...others]
}
