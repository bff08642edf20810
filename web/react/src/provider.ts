// Which client do the hooks below a provider use, and when does it connect and end?

import type { Client } from '@carillon/client'
import { createContext, createElement, type ReactNode, useContext, useEffect, useState } from 'react'
import { type Any, lingerMs } from './store.js'

const Context = createContext<Client | null>(null)

/** The client that stands for everything below. */
export interface CarillonProviderProps {
  /** A client of yours, which you close; or how to make one, which is then the provider's: it ends it some time after it was unmounted. */
  readonly client: Client | (() => Client)
  /** Connect when the page is there. Default true; else the first hook that listens does. */
  readonly connect?: boolean
  readonly children?: ReactNode
}

const closing = new WeakMap<Client, ReturnType<typeof setTimeout>>()

/** Gives a client to the hooks below it. Nothing is connected while a server renders. */
export function CarillonProvider({ client: given, connect = true, children }: CarillonProviderProps) {
  const [made] = useState(() => (typeof given === 'function' ? given() : null))
  const client = typeof given === 'function' ? made : given
  useEffect(() => {
    if (!client) return
    clearTimeout(closing.get(client))
    if (connect && client.state.status !== 'failed') client.connect()
    return () => {
      if (client === made)
        closing.set(
          client,
          setTimeout(() => client.close(), lingerMs),
        )
    }
  }, [client, made, connect])
  return createElement(Context.Provider, { value: client }, children)
}

/** The client of the nearest provider. */
export function useClient<Events extends object = Record<string, Any>>(): Client<Events> {
  const client = useContext(Context)
  if (!client) throw new Error('@carillon/react: there is no <CarillonProvider> above this component')
  return client as unknown as Client<Events>
}
