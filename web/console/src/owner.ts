// Whose things does a page show that an installation has, too: a tenant's, or those for all tenants?

import { useIsForAllTenants } from './session.js'
import { useTenant } from './tenant.js'

/** `*` for a key for all tenants while no tenant is chosen; null: one must be chosen first. */
export function useOwner(): string | null {
  const tenant = useTenant()
  const isForAll = useIsForAllTenants()
  return tenant ?? (isForAll ? '*' : null)
}
