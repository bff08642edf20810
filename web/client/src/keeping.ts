/** What is kept of how far a client is: in the page's storage, and at the server? */

import { CarillonError } from './errors.js'
import type { Kit } from './features.js'
import { formatPosition, parsePosition } from './position.js'
import type { Position, StorageLike } from './types.js'

const ACK_MS = 1_000

export interface Keeping {
  stored(): Position | null
  /** Everything up to here was handled. */
  handled(position: Position): void
  stop(): void
  /** What is kept is nobody's any more. */
  forget(): void
  /** Another place from now on. */
  restart(): void
}

export function createKeeping({ options, name, stream, state, connection, report }: Kit): Keeping {
  /** To be written; empty: the storage refuses. */
  let kept: string | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let acked = ''

  function storage<T>(use: (storage: StorageLike, key: string) => T): T | null {
    try {
      return options.storage ? use(options.storage, `${name()} cursor`) : null
    } catch (cause) {
      if (kept !== '') report(new CarillonError('storage', 'kept in memory', { cause }))
      kept = ''
      return null
    }
  }
  function keep() {
    const text = kept
    if (!text) return
    kept = null
    storage((to, key) => to.setItem(key, text))
  }
  function say() {
    timer = undefined
    const [{ handled }, now] = [stream, state()]
    if (!handled || now.status !== 'open' || !now.leader || !handled.seq || formatPosition(handled) === acked) return
    acked = formatPosition(handled)
    // What is refused is said again with the next.
    connection()!
      .request({ type: 'ack', ...handled })
      .catch(() => {})
  }

  return {
    stored: () => parsePosition(storage((from, key) => from.getItem(key))),
    handled(position) {
      if (kept !== '') {
        // Of many in one turn the last is kept.
        if (kept === null) queueMicrotask(keep)
        kept = formatPosition(position)
      }
      if (options.device) timer ??= setTimeout(say, ACK_MS)
    },
    stop() {
      clearTimeout(timer)
      timer = undefined
    },
    forget: () => storage((from, key) => from.removeItem(key)),
    restart() {
      kept = null
    },
  }
}
