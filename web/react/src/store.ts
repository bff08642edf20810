// How does a source that says "I have changed" become a store that React reads?

import { useCallback, useRef, useSyncExternalStore } from 'react'

export type Unsubscribe = () => void

/** Where an application names no type, it may read what it likes. */
// biome-ignore lint/suspicious/noExplicitAny: that is what this is for
export type Any = any

/** An external store. `get` answers the same object until something has changed. */
export interface Store<Snapshot> {
  get(): Snapshot
  /** What servers render, and a page at first, before it listens. */
  server(): Snapshot
  on(listener: () => void): Unsubscribe
}

export const all = (offs: Unsubscribe[]) => () => {
  for (const off of offs) off()
}

/** How long a source is kept after its last listener: StrictMode, a changed route and hot reload come back at once. Milliseconds. */
export const lingerMs = 500

/** Frames do not come in hidden tabs: then this much later. Milliseconds. */
const hiddenFrameMs = 200

/** Calls `run` once in the next frame, however often it is asked for. */
export function oncePerFrame(run: () => void): { ask: () => void; cancel: () => void } {
  let frame: number | undefined
  let timer: ReturnType<typeof setTimeout> | undefined
  const cancel = () => {
    if (frame !== undefined) cancelAnimationFrame(frame)
    clearTimeout(timer)
    frame = timer = undefined
  }
  const now = () => {
    cancel()
    run()
  }
  return {
    ask() {
      if (timer !== undefined) return
      if (typeof requestAnimationFrame === 'function') frame = requestAnimationFrame(now)
      timer = setTimeout(now, hiddenFrameMs)
    },
    cancel,
  }
}

/**
 * One subscription to a source, however many components listen: the first listener begins it, the last ends it after `lingerMs`. Listeners hear of a
 * burst once a frame.
 */
function shared<Source extends Store<Any>>(source: Source, begun: () => void, ended: () => void): Source {
  const listeners = new Set<() => void>()
  let off: Unsubscribe | undefined
  // What is rendered and never shown has no listener.
  let timer = setTimeout(ended, lingerMs)
  const frame = oncePerFrame(() => {
    for (const listener of [...listeners]) listener()
  })
  return {
    ...source,
    on(listener) {
      clearTimeout(timer)
      // A function of its own, so that the same listener may listen twice.
      const mine = () => listener()
      listeners.add(mine)
      off ??= source.on(frame.ask)
      begun()
      return () => {
        if (!listeners.delete(mine) || listeners.size > 0) return
        timer = setTimeout(() => {
          frame.cancel()
          off?.()
          off = undefined
          ended()
        }, lingerMs)
      }
    },
  }
}

const stores = new WeakMap<object, Map<string, unknown>>()

/**
 * The store of this name that belongs to `owner`: made when it is first asked for, forgotten when nobody has listened for a while. A server keeps
 * none: its next request may be another person's.
 */
export function storeOf<Source extends Store<Any>>(owner: object, name: string, make: () => Source): Source {
  if (typeof document === 'undefined') return make()
  const named = stores.get(owner) ?? new Map<string, unknown>()
  stores.set(owner, named)
  const found = named.get(name) as Source | undefined
  if (found) return found
  const keep = () => void named.set(name, made)
  const made: Source = shared(make(), keep, () => named.get(name) === made && named.delete(name))
  keep()
  return made
}

/** Whether two selections show the same: the same value, or lists or objects of the same members. */
export function isShallowEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b || Array.isArray(a) !== Array.isArray(b)) return false
  const keys = Object.keys(a)
  return (
    keys.length === Object.keys(b).length &&
    keys.every((key) => Object.hasOwn(b, key) && Object.is((a as never)[key], (b as never)[key]))
  )
}

/** The snapshot of a store, or what `select` takes of it: the component renders again only when that is otherwise. */
export function useStore<Snapshot, Selected = Snapshot>(
  store: Store<Snapshot>,
  select?: (snapshot: Snapshot) => Selected,
): Selected {
  const last = useRef<{ readonly value: Selected } | null>(null)
  const choose = (snapshot: Snapshot): Selected => {
    if (!select) return snapshot as unknown as Selected
    const value = select(snapshot)
    // What is equal is the same object: React compares by identity.
    if (last.current && isShallowEqual(last.current.value, value)) return last.current.value
    last.current = { value }
    return value
  }
  const on = useCallback((listener: () => void) => store.on(listener), [store])
  return useSyncExternalStore(
    on,
    () => choose(store.get()),
    () => choose(store.server()),
  )
}

/** As `useStore`, of the store `name` of `owner`, which is made of these parts when it is first asked for. */
export function useSource<Snapshot, Selected = Snapshot>(
  owner: object,
  name: string,
  server: Snapshot,
  get: () => Snapshot,
  on: (listener: () => void) => Unsubscribe,
  select?: (snapshot: Snapshot) => Selected,
): Selected {
  return useStore(
    storeOf<Store<Snapshot>>(owner, name, () => ({ get, server: () => server, on })),
    select,
  )
}
