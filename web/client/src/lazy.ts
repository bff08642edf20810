/** How is a part there at once, and its code only when it is used? */

import { once } from './listeners.js'
import type { Unsubscribe } from './types.js'

/** Without its code (no network, a new version on the server) a part is asked for again after this time. */
const AGAIN_MS = 5_000

export interface Lazy<Made> {
  /** Null: nothing of it was needed yet, or its code is on its way. */
  readonly now: Made | null
  /** Something of it was needed. */
  readonly begun: boolean
  get(): Promise<Made>
  /** Subscribes, now or once the code is there. */
  later(subscribe: (made: Made) => Unsubscribe): Unsubscribe
}

/** `late`: it could not be loaded before, and what was told in the meantime is lost. */
export function lazy<Made>(load: (late: boolean) => Promise<Made>, report: (error: unknown) => void): Lazy<Made> {
  let made: Made | null = null
  let loading: Promise<Made> | null = null
  let late = false
  const get = () => {
    loading ??= load(late).then(
      (now) => {
        made = now
        return now
      },
      (error) => {
        loading = null
        late = true
        throw error
      },
    )
    return loading
  }
  return {
    get now() {
      return made
    },
    get begun() {
      return loading !== null
    },
    get,
    later(subscribe) {
      let undo = made && subscribe(made)
      let gone = false
      const ask = () => {
        if (!gone)
          get().then(
            (now) => {
              if (!gone) undo = subscribe(now)
            },
            (error) => {
              report(error)
              setTimeout(ask, AGAIN_MS)
            },
          )
      }
      if (!undo) ask()
      return once(() => {
        gone = true
        undo?.()
      })
    },
  }
}
