// How do events reach a component?

import type { CarillonEvent, Client, HandlerOptions, Pattern } from '@carillon/client'
import { useListener } from './listener.js'
import { useClient } from './provider.js'
import { type Any, all, type Store, storeOf, type Unsubscribe, useStore } from './store.js'

/** Where events are listened to. */
export interface EventOptions {
  /** Only events of this channel, which is joined for it. Else those of all channels of the client. */
  readonly channel?: string | undefined
  /** First the newest n of the channel's past, marked `replay`. */
  readonly history?: number | undefined
}

function listen(
  client: Client,
  pattern: string,
  channel: string | undefined,
  history: number | undefined,
  handler: (event: CarillonEvent) => void | Promise<void>,
): Unsubscribe {
  if (channel === undefined) return client.on(pattern as Pattern<object>, handler as never)
  return client.channel(channel).on(pattern as Pattern<object>, handler as never, { history } as HandlerOptions)
}

/**
 * Calls `handler` once for each event, and renders nothing. The newest handler is called; it needs no `useCallback`. A subscription outlives
 * StrictMode's second mount, so its history comes once.
 */
export function useEvent<Data = Any>(
  pattern: string,
  handler: (event: CarillonEvent<Record<string, Data>>) => void | Promise<void>,
  { channel, history }: EventOptions = {},
): void {
  const client = useClient()
  useListener([client, pattern, channel, history], handler as (event: CarillonEvent) => void, (call) =>
    listen(client, pattern, channel, history, call),
  )
}

/** Which events are kept in the list, and how many. */
export interface EventListOptions extends EventOptions {
  /** How many of the newest are kept. Default 100. */
  readonly limit?: number | undefined
}

const none: readonly never[] = Object.freeze([])

/**
 * The newest events, ascending; a new list with each change, at most one a frame. After a `resync`, and for another person, the list begins anew, with `history` from the log.
 * There is no "last event": use `useEvent` to act on each.
 */
export function useEvents<Data = Any>(
  pattern: string,
  options: EventListOptions = {},
): readonly CarillonEvent<Record<string, Data>>[] {
  const client = useClient()
  const { channel, history, limit = 100 } = options
  const store = storeOf<Store<readonly CarillonEvent[]>>(
    client,
    `events ${JSON.stringify([pattern, channel, history, limit])}`,
    () => {
      let kept: readonly CarillonEvent[] = none
      let fresh: CarillonEvent[] = []
      return {
        get() {
          // The list is made when it is looked at, not for each event of a burst.
          if (fresh.length > 0) {
            kept = [...kept, ...fresh].slice(-limit)
            fresh = []
          }
          return kept
        },
        server: () => none,
        on(listener) {
          const handler = (event: CarillonEvent) => {
            // History may come after the first live events.
            if (event.replay && fresh.length + kept.length > 0) {
              kept = [...kept, ...fresh, event].sort((a, b) => (a.epoch === b.epoch ? a.seq - b.seq : 0)).slice(-limit)
              fresh = []
            } else {
              fresh.push(event)
              if (fresh.length > 2 * limit) fresh = fresh.slice(-limit)
            }
            listener()
          }
          const begin = () => listen(client, pattern, channel, history, handler)
          const anew = () => {
            kept = none
            fresh = []
            offs[0]?.()
            offs[0] = begin()
            listener()
          }
          const offs = [begin(), client.onResync(anew), client.onIdentify(anew)]
          return all(offs)
        },
      }
    },
  )
  return useStore(store) as never
}
