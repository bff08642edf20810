// How is a handler called for each thing that happens, without a new subscription for each render?

import { useEffect, useRef } from 'react'
import { lingerMs, type Unsubscribe } from './store.js'

type Call<Value> = (value: Value) => void | Promise<void>

interface Held {
  readonly key: readonly unknown[]
  off: Unsubscribe
  isMounted: boolean
  timer?: ReturnType<typeof setTimeout>
}

/**
 * Subscribes for as long as the component is there with this `key`. The subscription itself ends a little later: whoever is mounted again at once
 * (StrictMode) goes on with it, and what has an effect at the server is asked for once.
 */
export function useListener<Value>(
  key: readonly unknown[],
  handler: Call<Value>,
  subscribe: (call: Call<Value>) => Unsubscribe,
): void {
  const newest = useRef(handler)
  const held = useRef<Held | null>(null)
  useEffect(() => {
    newest.current = handler
  })
  useEffect(() => {
    const before = held.current
    clearTimeout(before?.timer)
    let mine = before
    if (!before?.key.every((part, place) => part === key[place])) {
      before?.off()
      const made: Held = { key, off: () => {}, isMounted: true }
      made.off = subscribe((value) => (made.isMounted ? newest.current(value) : undefined))
      mine = made
    }
    const kept = mine as Held
    kept.isMounted = true
    held.current = kept
    return () => {
      kept.isMounted = false
      kept.timer = setTimeout(() => {
        kept.off()
        if (held.current === kept) held.current = null
      }, lingerMs)
    }
  }, key)
}
