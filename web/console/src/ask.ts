// How does a page get what it shows, and how does it learn that this went wrong?

import { useCallback, useEffect, useRef, useState } from 'react'
import { type Problem, problemOf } from './problem.js'

export interface Asked<Value> {
  /** What was answered last; kept while it is asked again, also when that fails. */
  readonly value: Value | undefined
  /** Why the last try gave no answer. */
  readonly problem: Problem | null
  readonly isLoading: boolean
  readonly reload: () => void
}

interface Held<Value> {
  readonly key: string | null
  readonly value: Value | undefined
  readonly problem: Problem | null
  readonly isLoading: boolean
}

/** What failed for a reason that passes is asked again after so long, also where nothing is asked again otherwise. */
const RETRY_MS = 5_000

const passes = ({ status }: Problem) => status === 0 || status === 429 || status >= 500

export interface AskOptions {
  /** Asked again so long after an answer, in milliseconds, while the page is seen. */
  readonly every?: number | null
  /** Asked again when it changes; what was answered is shown meanwhile, for it is an answer to the same question. */
  readonly again?: string | number
}

/** Asks `load` when `key` changes; `null` asks nothing. Answers to an older key are thrown away. */
export function useAsk<Value>(
  key: string | null,
  load: (signal: AbortSignal) => Promise<Value>,
  { every = null, again }: AskOptions = {},
): Asked<Value> {
  const [held, hold] = useState<Held<Value>>({ key: null, value: undefined, problem: null, isLoading: true })
  const [turn, setTurn] = useState(0)
  const latest = useRef(load)
  latest.current = load
  useEffect(() => {
    if (key === null) return
    const stop = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const askLater = (wait: number) => {
      timer = setTimeout(() => (document.hidden ? askLater(wait) : void ask()), wait)
    }
    const ask = async () => {
      hold((before) => ({
        key,
        value: before.key === key ? before.value : undefined,
        problem: before.key === key ? before.problem : null,
        isLoading: true,
      }))
      let wait = every
      try {
        const value = await latest.current(stop.signal)
        if (stop.signal.aborted) return
        hold({ key, value, problem: null, isLoading: false })
      } catch (error) {
        if (stop.signal.aborted) return
        const problem = problemOf(error)
        hold((before) => ({ key, value: before.key === key ? before.value : undefined, problem, isLoading: false }))
        if (passes(problem)) wait = Math.max(problem.retryMs ?? 0, Math.min(every ?? RETRY_MS, RETRY_MS))
      }
      if (wait !== null) askLater(wait)
    }
    void ask()
    return () => {
      stop.abort()
      clearTimeout(timer)
    }
  }, [key, every, turn, again])
  const reload = useCallback(() => setTurn((n) => n + 1), [])
  const isOurs = held.key === key
  return {
    value: isOurs ? held.value : undefined,
    problem: isOurs ? held.problem : null,
    isLoading: !isOurs || held.isLoading,
    reload,
  }
}
