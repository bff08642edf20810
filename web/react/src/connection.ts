// How is the connection, and is a channel joined?

import type { CarillonError, Channel, Client, ConnectionState } from '@carillon/client'
import { useClient } from './provider.js'
import { all, type Store, storeOf, useSource, useStore } from './store.js'

const onServer: ConnectionState = Object.freeze({ status: 'idle', code: 'server', reason: 'not connected yet' })

/** The state of the connection, or what `select` takes of it. */
export function useConnection(): ConnectionState
export function useConnection<Selected>(select: (state: ConnectionState) => Selected): Selected
export function useConnection<Selected>(select?: (state: ConnectionState) => Selected): Selected | ConnectionState {
  const client = useClient()
  return useSource(
    client,
    'connection',
    onServer,
    () => client.state,
    (listener) => client.onState(listener),
    select as (state: ConnectionState) => Selected,
  )
}

/** `refused`: `error` says why. */
export interface ChannelStatus {
  readonly status: 'joining' | 'joined' | 'refused'
  readonly error: CarillonError | null
}

const joining: ChannelStatus = Object.freeze({ status: 'joining', error: null })
const joined: ChannelStatus = Object.freeze({ status: 'joined', error: null })

function watch(client: Client, name: string): Store<ChannelStatus> {
  const channel = client.channel(name)
  let now = joining
  return {
    get: () => now,
    server: () => joining,
    on(listener) {
      let round = 0
      const set = (next: ChannelStatus) => {
        if (next === now) return
        now = next
        listener()
      }
      const look = () => {
        const mine = ++round
        const say = (next: ChannelStatus) => mine === round && set(next)
        channel.ready().then(
          () => say(joined),
          (error: CarillonError) => say(error.code === 'closed' ? joining : { status: 'refused', error: channel.error ?? error }),
        )
      }
      const end = all([
        channel.join(),
        // A rule may change, and a connection may come back without the right.
        client.onError((error) => {
          if (error.channels?.includes(name)) set({ status: 'refused', error })
        }),
        client.onState((state) => (state.status === 'open' ? look() : set(joining))),
      ])
      look()
      return () => {
        round += 1
        now = joining
        end()
      }
    },
  }
}

/** Is in a channel while the component is there, and says how that is. `channel` publishes, reads the past and more. */
export function useChannel(name: string): ChannelStatus & { readonly channel: Channel } {
  const client = useClient()
  const status = useStore(storeOf(client, `channel ${name}`, () => watch(client, name)))
  return { ...status, channel: client.channel(name) }
}
