// What is a record of the audit, and how is it asked for?

import { get } from '../../api.js'

export interface Change {
  readonly id: number
  readonly at: string
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly before: unknown
  readonly after: unknown
}

export interface Filters {
  readonly actor: string
  readonly action: string
  readonly target: string
  readonly from: string
  readonly to: string
}

export const filtersOf = (query: URLSearchParams): Filters => ({
  actor: query.get('actor') ?? '',
  action: query.get('action') ?? '',
  target: query.get('target') ?? '',
  from: query.get('from') ?? '',
  to: query.get('to') ?? '',
})

/** A day of the zone of who looks, or a time, as RFC 3339. `to` of a day is its end. */
function moment(text: string, isEnd: boolean): string {
  const isDay = /^\d{4}-\d\d-\d\d$/.test(text)
  const at = new Date(isDay ? `${text}T00:00` : text)
  if (Number.isNaN(at.getTime())) return text
  if (isDay && isEnd) at.setDate(at.getDate() + 1)
  return at.toISOString()
}

export async function changes(owner: string, { from, to, ...filters }: Filters, after: string | null, signal: AbortSignal) {
  const page = await get<{ entries: Change[]; next: string | null }>('/v1/audit', {
    query: { tenant: owner, ...filters, from: from && moment(from, false), to: to && moment(to, true), after, limit: 50 },
    signal,
  })
  return { rows: page.entries, next: page.next }
}

/** Kinds of things that leave records, as `action` names them. */
export const kinds: readonly (readonly [string, string])[] = [
  ['', 'Everything'],
  ['channel_rule', 'Channel rules'],
  ['event_type', 'Event types'],
  ['webhook', 'Webhooks'],
  ['api_key', 'API keys'],
  ['limits', 'Limits'],
  ['suspension', 'Suspensions'],
  ['application', 'Where the application is asked'],
  ['preference_defaults', 'Defaults of preferences'],
  ['preferences', 'Preferences of somebody'],
  ['revocation', 'Disconnections'],
  ['application_login', 'Database logins of applications'],
]

const names: Readonly<Record<string, string>> = {
  channel_rule: 'Channel rule',
  event_type: 'Event type',
  webhook: 'Webhook',
  api_key: 'API key',
  limits: 'Limits',
  suspension: 'Suspension',
  application: 'Application',
  preference_defaults: 'Defaults of preferences',
  preferences: 'Preferences',
  revocation: 'Disconnection',
  application_login: 'Database login',
}

const verbs: Readonly<Record<string, readonly [string, 'good' | 'warn' | 'bad' | 'plain']>> = {
  created: ['created', 'good'],
  changed: ['changed', 'plain'],
  deleted: ['deleted', 'bad'],
}

/** `webhook.changed` as words: of which kind, and what was done. */
export function wordsOf(action: string) {
  const at = action.lastIndexOf('.')
  const [kind, verb] = at < 0 ? [action, ''] : [action.slice(0, at), action.slice(at + 1)]
  const [word, tone] = verbs[verb] ?? [verb, 'plain' as const]
  return { kind: names[kind] ?? kind, word, tone }
}
