// How does a page hear events as they come?

import { type Client, createClient } from '@carillon/client'
import { useEffect, useState, useSyncExternalStore } from 'react'
import { call } from './api.js'
import { credential } from './session.js'

/** What a gateway lets this session in with: its credentials, or, where only the cookie has them, a ticket that works once. */
async function getToken(tenant: string): Promise<string> {
  return credential() ?? (await call<{ ticket: string }>('POST', '/v1/tickets', { query: { tenant }, body: {} })).body.ticket
}

/** A connection of this page to the events of a tenant; it ends with the page. */
export function useTenantClient(tenant: string | null): Client | null {
  const [client, setClient] = useState<Client | null>(null)
  useEffect(() => {
    if (tenant === null) return
    const made = createClient({
      url: location.origin,
      tenant,
      getToken: () => getToken(tenant),
      tabs: false,
      autoConnect: true,
      onError() {},
    })
    setClient(made)
    return () => {
      made.close()
      setClient(null)
    }
  }, [tenant])
  return client
}

const NONE = { status: 'idle', code: 'idle', reason: '' } as const

export function useClientState(client: Client | null) {
  return useSyncExternalStore(
    (listener) => client?.onState(listener) ?? (() => {}),
    () => client?.state ?? NONE,
  )
}
