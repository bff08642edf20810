// What does a person want to get, and how is it changed?

import type { Client, Preferences, PreferencesInput } from '@carillon/client'
import { useMemo } from 'react'
import { useClient } from './provider.js'
import { type Answer, queryOf } from './query.js'
import { useStore } from './store.js'

/** What changes the preferences, and what loads them again. */
export interface PreferencesActions {
  /** Changes what is named and keeps the rest; null says nothing about it any more. One after the other; rejects if it was refused. */
  readonly change: (some: PreferencesInput) => Promise<void>
  readonly reload: () => Promise<void>
}

const storeFor = (client: Client) =>
  queryOf<Preferences>(client, 'preferences', {
    load: () => client.preferences.get(),
    // When quiet hours begin or end. By a clock that is ahead this is past already: then as much later, from a minute to a quarter of an hour.
    again(value) {
      if (!value?.next_change) return null
      const left = Date.parse(value.next_change) - Date.now()
      return left > 0 ? left : Math.min(Math.max(-left, 60_000), 900_000)
    },
  })

/** The last change under way: the next one is made to what it has left. */
const changes = new WeakMap<Client, Promise<void>>()

function change(client: Client, some: PreferencesInput): Promise<void> {
  let isGone = false
  const off = client.onIdentify(() => {
    isGone = true
  })
  const made = (changes.get(client) ?? Promise.resolve())
    .then(async () => {
      const store = storeFor(client)
      const { types, quiet_hours, do_not_disturb_until, locale } = store.get().value ?? (await client.preferences.get())
      // It was said by the person before.
      if (isGone) throw new Error('somebody else has signed in')
      const whole = { types, quiet_hours, do_not_disturb_until, locale, ...some } as PreferencesInput
      store.put(await client.preferences.set(whole))
    })
    .finally(off)
  changes.set(
    client,
    made.catch(() => {}),
  )
  return made
}

/** The person's preferences, and whether it is quiet for them now. Asked again when that changes. */
export function usePreferences(): Answer<Preferences> & PreferencesActions {
  const client = useClient()
  const answer = useStore(storeFor(client))
  const acts = useMemo(
    () => ({ change: (some: PreferencesInput) => change(client, some), reload: () => storeFor(client).reload() }),
    [client],
  )
  return { ...answer, ...acts }
}
