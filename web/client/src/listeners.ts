/** Who is told of a change? */

import type { Unsubscribe } from './types.js'

/** Runs at most once. */
export function once(undo: () => void): Unsubscribe {
  let done = false
  return () => {
    if (!done) undo()
    done = true
  }
}

export const all = (...undo: Unsubscribe[]): Unsubscribe =>
  once(() => {
    for (const one of undo) one()
  })

export interface Listeners<Value> {
  readonly size: number
  add(listener: (value: Value) => void): Unsubscribe
  emit(value: Value): void
}

/** One that throws does not keep the others from hearing. `changed` is told when the first comes and when the last has gone. */
export function createListeners<Value>(failed: (error: unknown) => void, changed?: (any: boolean) => void): Listeners<Value> {
  const all = new Set<{ listener: (value: Value) => void }>()
  return {
    get size() {
      return all.size
    },
    add(listener) {
      const entry = { listener }
      all.add(entry)
      if (all.size === 1) changed?.(true)
      return () => {
        if (all.delete(entry) && !all.size) changed?.(false)
      }
    },
    emit(value) {
      for (const { listener } of [...all])
        try {
          listener(value)
        } catch (error) {
          failed(error)
        }
    },
  }
}
