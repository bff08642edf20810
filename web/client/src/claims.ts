/** What does a token say? */

/** What a token says of itself, for those who are told no welcome. It is not checked: the server has done so. */
export function claims(token: string): {
  sub?: string
  tenant?: string
  exp?: number
  roles?: string[]
  tenants?: Record<string, string[]>
} {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1]!.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return {}
  }
}

/** The roles that a token gives in this tenant. */
export const rolesOf = (token: string, tenant = ''): readonly string[] => {
  const { roles = [], tenants } = claims(token)
  return tenants?.[tenant] ?? roles
}
