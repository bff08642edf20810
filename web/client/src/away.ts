/** How do others see that nobody looks at any of a person's tabs? */

import type { Channel, Unsubscribe } from './types.js'

export interface AwayOptions {
  /** What the person's `meta` in this channel has besides `away`. */
  readonly meta?: Readonly<Record<string, unknown>>
  /** Hears why it could not be said. After a reconnect it is said again by itself. */
  onError?(error: unknown): void
}

/**
 * Says in the person's `meta` of a channel whether they are `away`: true while every tab of this browser that calls this for the channel is
 * hidden, false while one of them is seen. They stay in the channel all the same. The page has to be in the channel. Where a browser has no
 * locks each tab speaks for itself. Ends with what it returns; what was said last stays.
 */
export function sayAway(
  channel: Pick<Channel, 'name' | 'presence'>,
  { meta, onError }: AwayOptions = {},
  page: Pick<Document, 'visibilityState' | 'addEventListener' | 'removeEventListener'> = document,
): Unsubscribe {
  const lock = `carillon seen ${channel.name}`
  const say = (away: boolean) => channel.presence.set({ ...meta, away }).catch((error) => onError?.(error))
  let turn = new AbortController()
  const locks = globalThis.BroadcastChannel && globalThis.navigator?.locks
  /** Who comes into sight says so, and hidden tabs wait for the end of that. */
  const tabs = locks && new BroadcastChannel(lock)

  // A tab that is seen shares the lock; a hidden one gets it alone as soon as none is, and gives it back when it has said so. So whoever is
  // seen next says it afterwards.
  function look() {
    turn.abort()
    turn = new AbortController()
    const { signal } = turn
    const isHidden = page.visibilityState === 'hidden'
    if (!tabs) return void say(isHidden)
    const granted = async () => {
      if (!isHidden) {
        tabs.postMessage(null)
        await say(false)
        return signal.aborted || new Promise((done) => signal.addEventListener('abort', done))
      }
      // Whoever came into sight while this tab waited is behind it.
      const { pending = [] } = await locks.query()
      if (signal.aborted) return
      if (pending.some(({ name, mode }) => name === lock && mode === 'shared')) look()
      else await say(true)
    }
    // It rejects when this tab looked anew before its turn came.
    locks.request(lock, { mode: isHidden ? 'exclusive' : 'shared', signal }, granted).catch(() => {})
  }

  if (tabs) tabs.onmessage = () => page.visibilityState === 'hidden' && look()
  page.addEventListener('visibilitychange', look)
  look()
  return () => {
    page.removeEventListener('visibilitychange', look)
    tabs?.close()
    turn.abort()
  }
}
