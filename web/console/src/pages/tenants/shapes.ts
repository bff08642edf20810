// What is set for a tenant, and what does it use?

import { call, get } from '../../api.js'

export const limits = [
  ['connections', 'Connections', 'open at a time, on all gateways together'],
  ['events_per_second', 'Events a second', 'published into its log'],
  ['signals_per_second', 'Signals a second', 'that its clients send'],
  ['notices_per_day', 'Notices a day', 'sent since midnight UTC'],
] as const

export type Limit = (typeof limits)[number][0]
export type Limits = Readonly<Partial<Record<Limit, number | null>>>

export interface Settings {
  readonly tenant: string
  readonly authorize_url: string | null
  /** Only the answer to the request that made it has it. */
  readonly authorize_secret?: string
  readonly authorize_secret_before_until?: string
  readonly limits?: Limits
  readonly suspended?: boolean
}

export interface Use {
  readonly connections: number | null
  readonly subscriptions: number | null
  readonly events_per_second: number | null
  readonly deliveries_per_second: number | null
  readonly notices_today?: number
  readonly nodes: readonly { readonly node: string; readonly connections: number }[]
  readonly stale: boolean
}

// The tenant is in the path, and no parameter.
const options = { query: { tenant: null } }
const path = (tenant: string) => `/v1/tenants/${encodeURIComponent(tenant)}`

export const settings = (tenant: string, signal: AbortSignal) => get<Settings>(path(tenant), { ...options, signal })

export const set = async (tenant: string, body: object) => (await call<Settings>('PUT', path(tenant), { ...options, body })).body

export const use = (tenant: string, signal: AbortSignal) => get<Use>('/v1/stats', { query: { tenant }, signal })
