// Who is in a channel, and who types there?

import type { PresenceSnapshot } from '@carillon/client'
import { useClient } from './provider.js'
import { useSource } from './store.js'

const nobody: PresenceSnapshot = Object.freeze({ count: 0, members: Object.freeze([]), stale: true, error: null })
const silence: readonly string[] = Object.freeze([])

/** Who is in a channel; it is watched while the component is there. `set` says something about oneself. */
export function usePresence(name: string): PresenceSnapshot & { readonly set: (meta: unknown) => Promise<void> } {
  const client = useClient()
  const { presence } = client.channel(name)
  const snapshot = useSource(
    client,
    `presence ${name}`,
    nobody,
    () => presence.snapshot,
    (listener) => presence.on(listener),
  )
  return { ...snapshot, set: presence.set }
}

/** Who types in a channel, others only. Call `start` with every key; it is sent at most every 3 s, and ends by itself. */
export function useTyping(name: string): {
  readonly users: readonly string[]
  readonly start: () => void
  readonly stop: () => void
} {
  const client = useClient()
  const { typing } = client.channel(name)
  const users = useSource(
    client,
    `typing ${name}`,
    silence,
    () => typing.users,
    (listener) => typing.on(listener),
  )
  return { users, start: typing.start, stop: typing.stop }
}
