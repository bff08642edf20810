// How much goes on now, and how was it in the last minutes?
//
// While a page looks, the installation says so about once a second (signals of the channel `carillon:stats`). Where these do not come,
// `GET /v1/stats` is asked instead.

import { useEffect, useState } from 'react'
import { get } from './api.js'
import { useClientState, useTenantClient } from './live.js'
import { type Problem, problemOf } from './problem.js'
import { useSession } from './session.js'

export interface Latency {
  readonly p50_ms: number
  readonly p99_ms: number
  readonly count: number
}

/** Sums of the last 60 seconds. */
export interface Minute {
  readonly resumes: { readonly live: number; readonly replay: number; readonly reset: number }
  readonly closes: Readonly<Record<string, number>>
  readonly stalled: number
  readonly fell_behind: number
  readonly gaps: number
  readonly events_repaired: number
  readonly handshakes_rejected: number
}

export interface NodeNow {
  readonly node: string
  readonly version?: string
  readonly state?: string
  readonly started_at?: string
  readonly connections: number
  readonly tenants?: number
  readonly events_per_second: number
  readonly deliveries_per_second: number
  readonly latency?: Latency | null
}

export interface Now {
  readonly at?: string
  readonly connections: number | null
  readonly subscriptions?: number | null
  readonly events_per_second: number | null
  readonly deliveries_per_second: number | null
  readonly latency?: Latency | null
  readonly minute?: Minute
  readonly nodes: readonly NodeNow[]
  readonly stale: boolean
}

export interface Sample {
  /** Seconds since 1970. */
  readonly at: number
  readonly now: Now
}

export interface Watched {
  readonly now: Now | null
  /** The last five minutes, oldest first. */
  readonly past: readonly Sample[]
  /** How it comes: pushed, or asked for every two seconds. */
  readonly by: 'signals' | 'requests'
  readonly problem: Problem | null
}

const CHANNEL = 'carillon:stats'
/** The tenant in which an installation tells of itself. */
const OPERATOR = 'carillon-operator'
const KEPT = 300
/** Signals that have not come for so long are not waited for. */
const SILENT_MS = 3_000
const EVERY_MS = 2_000

const NOTHING: Watched = { now: null, past: [], by: 'requests', problem: null }

/** `tenant: null` is the installation, for a key for all tenants. */
export function useNow(tenant: string | null): Watched {
  const now = useSession()
  const mayHear = now.status === 'in' && now.who.kind === 'key' && now.who.scopes.includes('read')
  const client = useTenantClient(mayHear && tenant === null ? OPERATOR : null)
  const state = useClientState(client)
  const [watched, setWatched] = useState(NOTHING)
  const isOpen = state.status === 'open'
  useEffect(() => {
    let heardAt = 0
    let isAsking = false
    const note = (said: Now, by: Watched['by']) =>
      setWatched(({ past }) => ({
        now: said,
        past: [...past.slice(1 - KEPT), { at: (said.at ? Date.parse(said.at) : Date.now()) / 1000, now: said }],
        by,
        problem: null,
      }))
    const stop = new AbortController()
    const ask = async () => {
      if (isAsking || document.hidden || performance.now() - heardAt < SILENT_MS) return
      isAsking = true
      try {
        note(await get<Now>('/v1/stats', { query: { tenant }, signal: stop.signal }), 'requests')
      } catch (error) {
        if (!stop.signal.aborted) setWatched((before) => ({ ...before, problem: problemOf(error) }))
      }
      isAsking = false
    }
    void ask()
    const timer = setInterval(ask, EVERY_MS)
    const leave = isOpen
      ? client?.channel(CHANNEL).onSignal('carillon.stats', ({ data }) => {
          heardAt = performance.now()
          note(data as Now, 'signals')
        })
      : undefined
    return () => {
      stop.abort()
      clearInterval(timer)
      leave?.()
    }
  }, [client, isOpen, tenant])
  return watched
}
