// What can be published, and what comes back?

/** How urgent an event is. */
export type Priority = 'low' | 'normal' | 'high' | 'urgent' | 'critical'

/** What an event says in the inboxes of those it is for. */
export interface NoticeText {
  /** 1–256 characters, one line. */
  title: string
  /** Up to 4,096 characters. */
  body?: string
  /** Where a click leads: a URL or a path. */
  action?: string
  /** Notices of one group are one entry, the newest. */
  group?: string
  priority?: Priority
  /** People are asked to take note of it. */
  requires_ack?: boolean
  /** From then on it is in no inbox. */
  expires_at?: string | Date
  /** Up to 8 KiB of JSON. */
  data?: unknown
}

/** One event. It needs a target: `channels`, `channel`, `users`, `roles` or `tenant_wide`. */
export interface PublishEvent<Type extends string = string, Data = unknown> {
  type: Type
  data?: Data
  channel?: string
  channels?: string[]
  users?: string[]
  roles?: string[]
  tenant_wide?: boolean
  /** Whose log; else the tenant of the client, else that of the API key. */
  tenant?: string
  source?: string
  subject?: string
  actor?: string
  priority?: Priority
  /** The event is the latest value of this key in its channels; with `data: null` the key has no value any more. */
  key?: string
  /** What it says in inboxes. */
  notify?: NoticeText
  /** A connection that does not get it as it happens. */
  except?: string
  /** 1–128 bytes. Left out: a UUIDv7 that this package makes, so that its retries are recognised. */
  id?: string
  /** When it happened; left out: now, by the service's clock. */
  time?: string | Date
}

/** Whom a notice is for; at least one of these. */
export interface Audience {
  tenant?: boolean
  roles?: string[]
  channels?: string[]
  users?: string[]
}

/** A notice: an event that stands in the inbox of everybody it is for. */
export interface Notice extends NoticeText {
  audience: Audience
  tenant?: string
  /** Default `notice`. */
  type?: string
  id?: string
  source?: string
  subject?: string
  actor?: string
  time?: string | Date
  except?: string
}

/** Where an event stands in the log. It is committed. */
export interface Receipt {
  id: string
  seq: number
  epoch: string
}

/** What ends a request early. */
export interface RequestOptions {
  /** Ends the request and its retries. */
  signal?: AbortSignal
}

/** How a request to publish is sent. */
export interface PublishOptions extends RequestOptions {
  /** 1–255 visible ASCII characters; remembered for 48 hours. Takes the place of the ids, for an array it covers all of it. */
  idempotencyKey?: string
  /** The connection that publishes (`welcome.connection`) does not get its own events as they happen. */
  connection?: string
}

/** A ticket that opens one connection. */
export interface Ticket {
  ticket: string
  /** Seconds. */
  expires_in: number
}

/** Where a log stands: `seq` counts within its `epoch`. As a text, for pages: `<epoch>:<seq>`. */
export interface Position {
  epoch: string
  seq: number
}
