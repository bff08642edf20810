// How is something done once, and how does a page show that it runs, was done or failed?

import { useCallback, useEffect, useRef, useState } from 'react'
import { type Problem, problemOf } from '../problem.js'

export interface Act {
  readonly isRunning: boolean
  /** Why the last try failed; null while another one runs. */
  readonly problem: Problem | null
  /** What was done last, in words. */
  readonly done: string | null
  /** Runs `work`, which answers in words what was done. Nothing is begun while something runs. */
  readonly run: (work: () => Promise<string | undefined>) => Promise<boolean>
  readonly clear: () => void
}

interface State {
  readonly isRunning: boolean
  readonly problem: Problem | null
  readonly done: string | null
}

const IDLE: State = { isRunning: false, problem: null, done: null }

export function useAct(): Act {
  const [state, set] = useState(IDLE)
  const running = useRef(false)
  const mounted = useRef(true)
  useEffect(() => {
    mounted.current = true
    return () => {
      mounted.current = false
    }
  }, [])
  const run = useCallback(async (work: () => Promise<string | undefined>) => {
    if (running.current) return false
    running.current = true
    set({ ...IDLE, isRunning: true })
    let next = IDLE
    try {
      next = { ...IDLE, done: (await work()) ?? null }
    } catch (error) {
      next = { ...IDLE, problem: problemOf(error) }
    }
    running.current = false
    if (mounted.current) set(next)
    return next.problem === null
  }, [])
  const clear = useCallback(() => set((now) => (now.isRunning ? now : IDLE)), [])
  return { ...state, run, clear }
}
