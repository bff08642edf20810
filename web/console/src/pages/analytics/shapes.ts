// What is asked for, and what is the answer?

import { get } from '../../api.js'

export interface Row {
  /** A type, a source, …; of times RFC 3339; null: all others together. */
  readonly key: string | null
  readonly count: number
  readonly previous?: number
  /** Different actors; of times only. */
  readonly people?: number
}

export interface Counts {
  readonly by: string
  readonly from: string
  readonly to: string
  readonly events: number
  readonly people: number
  readonly more_people: boolean
  readonly previous?: { readonly from: string; readonly to: string; readonly events: number; readonly people: number }
  readonly rows: readonly Row[]
  readonly behind: { readonly events: number; readonly seconds: number }
}

export const dimensions = [
  ['type', 'Type'],
  ['source', 'Source'],
  ['actor', 'Actor'],
  ['priority', 'Priority'],
] as const

export type Dimension = (typeof dimensions)[number][0]

export const ranges = [
  ['1', 'Last 24 hours'],
  ['7', 'Last 7 days'],
  ['30', 'Last 30 days'],
  ['90', 'Last 90 days'],
  ['365', 'Last 365 days'],
  ['own', 'From … to …'],
] as const

const DAY = 86_400_000

/** Days of UTC, as all counts are. Hours are drawn up to a week of them; the API has no more than 31 days. */
export interface Range {
  readonly days: number
  readonly from: string | null
  readonly to: string | null
}

export function rangeOf(query: URLSearchParams): Range {
  const [from, to] = [query.get('from'), query.get('to')]
  if (query.get('range') !== 'own') return { days: Number(query.get('range')) || 1, from: null, to: null }
  const end = to ? Date.parse(to) + DAY : Date.now()
  const begin = from ? Date.parse(from) : end - DAY
  return { days: Math.max(1, (end - begin) / DAY) || 1, from: from && `${from}T00:00:00Z`, to: to && new Date(end).toISOString() }
}

export async function counts(by: string, range: Range, signal: AbortSignal): Promise<Counts> {
  const from = range.from ?? (range.to || range.days === 1 ? null : new Date(Date.now() - range.days * DAY).toISOString())
  return get<Counts>('/v1/analytics', { query: { by, from, to: range.to, compare: 'previous', limit: 200 }, signal })
}
