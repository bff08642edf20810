// What became of each notice of a list? Asked one after the other: a tenant has few turns at a time.

import { useEffect, useState } from 'react'
import { get } from '../../api.js'
import { pathOf, type Status } from './shapes.js'

/** By id. What could not be had is left out: the list is good without it. */
export function useFigures(tenant: string, ids: readonly string[], turn: number): ReadonlyMap<string, Status> {
  const [figures, set] = useState<ReadonlyMap<string, Status>>(new Map())
  const all = ids.join('\n')
  useEffect(() => {
    const stop = new AbortController()
    const ask = async () => {
      for (const id of all ? all.split('\n') : []) {
        if (stop.signal.aborted) return
        const status = await get<Status>(pathOf(id), { signal: stop.signal, query: { tenant, limit: 1 } }).catch(() => null)
        if (status && !stop.signal.aborted) set((before) => new Map(before).set(id, status))
      }
    }
    void ask()
    return () => stop.abort()
  }, [tenant, all, turn])
  return figures
}
