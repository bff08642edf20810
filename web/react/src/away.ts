'use client'
// Does somebody look at a page of this person?

import { sayAway } from '@carillon/client/away'
import { useEffect } from 'react'
import { useClient } from './provider.js'

/**
 * Says in the person's `meta` of a channel whether they are `away`: whether none of their tabs in this browser that has such a component is
 * seen. The page has to be in the channel. `meta` is what it has besides.
 */
export function useAway(name: string, meta: Readonly<Record<string, unknown>> = {}): void {
  const client = useClient()
  const said = JSON.stringify(meta)
  useEffect(() => sayAway(client.channel(name), { meta: JSON.parse(said) }), [client, name, said])
}
