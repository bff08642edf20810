// How much goes on, now and over time?

import { useClient } from './provider.js'
import { type Answer, queryOf } from './query.js'
import { useStore } from './store.js'

/** `GET /v1/stats`. While Redis is away `stale` is true, and what is not known is null. */
export interface Stats {
  readonly tenant?: string
  readonly connections: number | null
  readonly subscriptions: number | null
  readonly events_per_second: number | null
  readonly deliveries_per_second: number | null
  /** Since midnight UTC, of a tenant with a limit of them. */
  readonly notices_today?: number
  readonly nodes: readonly {
    readonly node: string
    readonly connections: number
    readonly events_per_second: number
    readonly deliveries_per_second: number
  }[]
  readonly stale: boolean
}

/** Which events are counted, and over which time. */
export interface AnalyticsQuery {
  /** Default `type`. */
  readonly by?: 'type' | 'source' | 'actor' | 'priority' | 'hour' | 'day'
  /** RFC 3339; default: a day before now, up to now. */
  readonly from?: string
  readonly to?: string
  readonly limit?: number
  readonly compare?: 'previous'
}

interface Span {
  readonly from: string
  readonly to: string
  readonly events: number
  readonly people: number
}

/** `GET /v1/analytics`. `people` are different actors. */
export interface Analytics extends Span {
  readonly by: string
  readonly more_people: boolean
  readonly previous?: Span
  readonly rows: readonly {
    readonly key: string | null
    readonly count: number
    readonly previous?: number
    readonly people?: number
  }[]
  readonly behind: { readonly events: number; readonly seconds: number }
}

/** How often it is asked again. */
export interface RepeatOptions {
  /** Asked again so often while the page is seen, in milliseconds; null: only by `reload`. */
  readonly every?: number | null
}

/** An answer, and what asks for it again. */
export type Asked<Value> = Answer<Value> & { readonly reload: () => Promise<void> }

function useRest<Value>(path: string, query: object, every: number | null): Asked<Value> {
  const client = useClient()
  const store = queryOf<Value>(client, `GET ${path} ${JSON.stringify(query)} ${every}`, {
    load: async (signal) => (await client.request<Value>('GET', path, { query: query as never, signal })).body,
    again: () => every,
  })
  return { ...useStore(store), reload: store.reload }
}

/** Connections and rates, now. Needs the cap `admin`. Default: every 5 s. */
export function useStats({ every = 5000 }: RepeatOptions = {}): Asked<Stats> {
  return useRest('/v1/stats', {}, every)
}

/** How many events there were. Needs the cap `admin`. Default: every minute. */
export function useAnalytics(query: AnalyticsQuery = {}, { every = 60_000 }: RepeatOptions = {}): Asked<Analytics> {
  return useRest('/v1/analytics', query, every)
}
