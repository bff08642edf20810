// Which tenants does the installation have?

import { get } from './api.js'
import { type Many, useMany } from './many.js'
import { useIsForAllTenants, useMay } from './session.js'

export interface ListedTenant {
  readonly tenant: string
  readonly created_at: string
  readonly head: number
  readonly suspended: boolean
}

/** By name; asked only for a key for all tenants that may administer. */
export function useTenants(): Many<ListedTenant> {
  const isForAll = useIsForAllTenants()
  const may = useMay('admin')
  return useMany(isForAll && may ? 'tenants' : null, async (after, signal) => {
    const query = { tenant: null, limit: 200, after }
    const page = await get<{ tenants: ListedTenant[]; next: string | null }>('/v1/tenants', { query, signal })
    return { rows: page.tenants, next: page.next }
  })
}
