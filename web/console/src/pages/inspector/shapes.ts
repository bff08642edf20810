// What is asked about people, channels and connections, and how are the answers?

import { call, get } from '../../api.js'
import { number } from '../../format.js'

export interface Connection {
  readonly connection: string
  readonly user: string
  readonly device: string | null
  readonly node: string
  readonly since: string
  readonly transport: 'websocket' | 'sse'
  readonly rtt_ms: number | null
  readonly lost_pings: number
  readonly behind: number | null
  readonly address?: string
}

export interface ConnectionFilter {
  readonly user?: string
  readonly device?: string
  readonly channel?: string
  readonly node?: string
}

export async function connections(filter: ConnectionFilter, after: string | null, signal: AbortSignal) {
  const page = await get<{ connections: Connection[]; next: string | null }>('/v1/connections', {
    query: { ...filter, limit: 50, after },
    signal,
  })
  return { rows: page.connections, next: page.next }
}

/** The name of a connection: its gateway's, its process's, and three numbers. */
const NAME = /^[A-Za-z0-9_.-]{1,64}-[0-9a-f]{8}(-\d{1,19}){3}$/

export async function connection(name: string, signal: AbortSignal): Promise<Connection | null> {
  if (!NAME.test(name)) return null
  const page = await get<{ connections: Connection[] }>('/v1/connections', { query: { connection: name }, signal })
  return page.connections[0] ?? null
}

export interface PresentIn {
  readonly user: string
  readonly present: boolean
  readonly channels: readonly { readonly channel: string; readonly since: number; readonly meta?: unknown }[]
  readonly next: string | null
  readonly stale?: boolean
}

export interface Members {
  readonly channel: string
  readonly count: number
  readonly members: readonly { readonly user: string; readonly since: number; readonly meta?: unknown }[]
  readonly next: string | null
  readonly stale?: boolean
}

export const presentIn = (user: string, signal: AbortSignal) =>
  get<PresentIn>('/v1/presence', { query: { user, limit: 200 }, signal })

export const members = (channel: string, signal: AbortSignal) =>
  get<Members>(`/v1/presence/${encodeURIComponent(channel)}`, { query: { limit: 200 }, signal })

export interface Activity {
  readonly id: string
  readonly time: string
  readonly device?: string
  readonly name: string
  readonly data?: unknown
}

export const activity = async (user: string, signal: AbortSignal) =>
  (await get<{ activity: Activity[] }>('/v1/activity', { query: { user, limit: 20 }, signal })).activity

export interface LogRow {
  readonly seq: number
  readonly channels: readonly string[]
  readonly event: { readonly id: string; readonly type: string; readonly time: string; readonly actor?: string }
}

export const latestEvents = async (channel: string, limit: number, signal: AbortSignal) =>
  (await get<{ events: LogRow[] }>('/v1/events', { query: { channel, limit }, signal })).events

export interface Cursor {
  readonly user: string
  readonly device: string
  readonly last_seen: string
  readonly delivered: number
  readonly acked: number
}

export interface Reach {
  readonly seq: number
  readonly audience: number
  readonly delivered: number
  readonly acked: number
  readonly pending: readonly Cursor[]
}

/** How far the devices of a person are: against the newest event that is for all of them. Null: there is none. */
export async function reach(user: string, signal: AbortSignal): Promise<Reach | null> {
  const [newest] = await latestEvents(`user:${user}`, 1, signal)
  if (!newest) return null
  return get<Reach>(`/v1/events/${encodeURIComponent(newest.event.id)}/deliveries`, { query: { limit: 200 }, signal })
}

export interface Revocation {
  readonly id: string | number
  readonly user: string | null
  readonly device: string | null
  readonly connection: string | null
  readonly revoked_at: string
  readonly until: string
}

export async function revocations(after: string | null, signal: AbortSignal) {
  const page = await get<{ revocations: Revocation[]; next: string | null }>('/v1/revocations', {
    query: { limit: 200, after },
    signal,
  })
  return { rows: page.revocations, next: page.next }
}

export const lift = (id: string | number) => call('DELETE', `/v1/revocations/${encodeURIComponent(`${id}`)}`)

/** Whom to disconnect: a person, a device, a device of a person, or one connection. */
export interface Whom {
  readonly user?: string
  readonly device?: string
  readonly connection?: string
}

/** Answers in words what happened. */
export async function disconnect(whom: Whom): Promise<string> {
  const { body } = await call<{ connections: number | null }>('DELETE', '/v1/connections', { query: { ...whom } })
  if (body.connections === null)
    return 'Redis is away: gateways close what is meant within a second, and it is not known how much.'
  return body.connections === 1 ? 'One connection was closed.' : `${number(body.connections)} connections were closed.`
}

export interface Receipt {
  readonly id: string
  readonly seq: number
}

export const publish = async (body: object) => (await call<Receipt>('POST', '/v1/events', { body })).body
