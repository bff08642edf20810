/** How does a connection ask who is in channels, and say something of its own person there? */

import type { Want } from './connection.js'
import type { CarillonError } from './errors.js'
import type { Frame } from './transport.js'

/** So many channels are asked about in one frame. */
const AT_ONCE = 100

export interface WatchingHost {
  readonly types?: readonly string[] | undefined
  /** Once: what the connection takes with it is not said again. */
  ask(frame: object): Promise<Frame>
  frame(frame: Frame): void
  sync(): void
  /** The present link. */
  link(): unknown
}

type Wanted = ReadonlyMap<string, Want>

export interface Watching {
  /** Another link knows nothing of it. */
  reset(): void
  left(channels: readonly string[]): void
  settle(open: readonly string[], wanted: Wanted): void
  /** A stream is not told who comes and goes in channels that were not all asked for so: it asks. */
  look(open: readonly string[], wanted: Wanted): void
}

export type CreateWatching = (host: WatchingHost) => Watching

export const createWatching: CreateWatching = (host) => {
  let [watched, metas] = [new Set<string>(), new Map<string, string>()]

  const show = (channel: string, who: object, more = {}) => host.frame({ type: 'presence', channel, sync: true, ...who, ...more })
  const notThere = (channels: readonly string[], { message }: CarillonError, code = 'presence_forbidden') =>
    host.frame({ type: 'error', code, message, channels })

  return {
    reset() {
      watched = new Set()
      metas = new Map()
    },
    left(channels) {
      for (const channel of channels) {
        watched.delete(channel)
        metas.delete(channel)
      }
    },
    settle(open, wanted) {
      const mine = host.link()
      const channels = open.filter((channel) => wanted.get(channel)!.watch && !watched.has(channel)).slice(0, AT_ONCE)
      if (channels.length) {
        for (const channel of channels) watched.add(channel)
        // What is left out would be every type again.
        host.ask({ type: 'subscribe', channels, types: host.types, presence: true }).then(
          (ok) => {
            if (mine !== host.link()) return
            for (const [channel, who] of Object.entries(ok.presence ?? {})) show(channel, who as object)
          },
          (error: CarillonError) => {
            if (mine !== host.link()) return
            const wrong = error.channels ? [...error.channels] : channels
            // The others are asked about again.
            for (const channel of channels) if (!wrong.includes(channel)) watched.delete(channel)
            notThere(wrong, error)
            host.sync()
          },
        )
      }
      for (const channel of open) {
        const { meta } = wanted.get(channel)!
        const said = meta === undefined ? undefined : JSON.stringify(meta)
        if (said === metas.get(channel) || said === undefined) continue
        metas.set(channel, said)
        host.ask({ type: 'presence', channel, meta }).catch((error) => notThere([channel], error, error.code))
      }
    },
    look(open, wanted) {
      for (const channel of open)
        if (wanted.get(channel)!.watch)
          host.ask({ type: 'presence', channel }).then(
            ({ presence }) => show(channel, presence[channel], { stale: true }),
            (error) => notThere([channel], error),
          )
    },
  }
}
