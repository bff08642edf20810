// Which tenants does the installation have?

import { get } from './api.js'
import { type Many, useMany } from './many.js'
import { useMay, useSession } from './session.js'

export interface ListedTenant {
  readonly tenant: string
  readonly created_at: string
  readonly head: number
  readonly suspended: boolean
}

/** By name; asked only for a key for all tenants that may administer. */
export function useTenants(): Many<ListedTenant> {
  const now = useSession()
  const isOperator = useMay('admin') && now.status === 'in' && now.who.tenant === null && now.who.tenants.length === 0
  return useMany(isOperator ? 'tenants' : null, async (after, signal) => {
    const query = { tenant: null, limit: 200, after }
    const page = await get<{ tenants: ListedTenant[]; next: string | null }>('/v1/tenants', { query, signal })
    return { rows: page.tenants, next: page.next }
  })
}
