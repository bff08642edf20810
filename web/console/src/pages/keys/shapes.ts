// What is an API key to this page, and how are keys asked for?

import { call, get } from '../../api.js'

export type Scope = 'publish' | 'read' | 'admin'

export const scopes: readonly (readonly [Scope, string])[] = [
  ['publish', 'Publish events and notices'],
  ['read', 'Read the log and the numbers, listen to every event'],
  ['admin', 'Change rules, keys, webhooks and settings; disconnect people'],
]

export interface Key {
  readonly id: string
  readonly name: string | null
  readonly tenant: string | null
  readonly scopes: readonly Scope[]
  readonly created_at: string
  readonly expires_at: string | null
  readonly revoked_at: string | null
  readonly last_used_at: string | null
  readonly replaces: string | null
  readonly replaced_by: string | null
}

/** Only the answer that made a key has `key`. */
export type MadeKey = Key & { readonly key: string }

export type KeyState = 'works' | 'ends' | 'expired' | 'ended'

/** `ends`: it was replaced, or ends within a week. */
export function stateOf(key: Key, now = Date.now()): KeyState {
  const end = key.expires_at === null ? null : Date.parse(key.expires_at)
  if (key.revoked_at !== null) return 'ended'
  if (end !== null && end <= now) return 'expired'
  return end !== null && (key.replaced_by !== null || end - now < 7 * 86_400_000) ? 'ends' : 'works'
}

export async function keys(owner: string, after: string | null, signal: AbortSignal) {
  const page = await get<{ keys: Key[]; next: string | null }>('/v1/api-keys', {
    query: { tenant: owner, limit: 200, after },
    signal,
  })
  return { rows: page.keys, next: page.next }
}

const path = (id: string, rest = '') => `/v1/api-keys/${encodeURIComponent(id)}${rest}`

/** `key`: the API key that asks, where a session is signed in: the API takes these requests from no session. */
export type Asks = { readonly key?: string }

export const makeKey = async (owner: string, body: object, asks: Asks) =>
  (await call<MadeKey>('POST', '/v1/api-keys', { query: { tenant: owner }, body, ...asks })).body

export const changeKey = (owner: string, id: string, body: object, asks: Asks) =>
  call('PUT', path(id), { query: { tenant: owner }, body, ...asks })

export const rotateKey = async (owner: string, id: string, overlap_seconds: number, asks: Asks) =>
  (await call<MadeKey>('POST', path(id, '/rotate'), { query: { tenant: owner }, body: { overlap_seconds }, ...asks })).body

export const endKey = (owner: string, id: string) => call('DELETE', path(id), { query: { tenant: owner } })
