// Are these the credentials of whoever runs the installation?

import { useSession } from '../../session.js'

export function useIsOperator(): boolean {
  const now = useSession()
  return now.status === 'in' && now.who.kind === 'key' && now.who.tenant === null && now.who.scopes.includes('admin')
}
