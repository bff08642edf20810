// When is a request sent again, and after how long?

/** How often a request is tried again, and after which time. */
export interface RetryPolicy {
  /** Requests in all, the first included. */
  attempts: number
  /** The first pause is up to this long; each further one up to twice as long. Milliseconds. */
  baseMs: number
  /** No pause that we choose is longer. Milliseconds. */
  capMs: number
  /** No retry begins later than this after the first request. Milliseconds. */
  totalMs: number
}

export const defaultRetry: RetryPolicy = { attempts: 6, baseMs: 250, capMs: 10_000, totalMs: 30_000 }

/** Whether a request with this status may succeed later. 0: no answer came. */
export function mayRetry(status: number): boolean {
  return status === 0 || status === 408 || status === 429 || (status >= 502 && status <= 504)
}

/** `Retry-After` in milliseconds: seconds, or a date. */
export function retryAfterMs(value: string | null, now: number): number | undefined {
  if (value === null || value.trim() === '') return undefined
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000
  const date = Date.parse(value)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}

/**
 * The pause before attempt `attempt` + 1 (`attempt` ≥ 1), or undefined when there is none. What the service asks for is waited in full, and up to as
 * long a random time beside it, so that those who were refused together do not come back together.
 */
export function pauseMs(
  policy: RetryPolicy,
  attempt: number,
  elapsedMs: number,
  askedMs: number | undefined,
  random: number,
): number | undefined {
  if (attempt >= policy.attempts) return undefined
  const ours = Math.min(policy.capMs, policy.baseMs * 2 ** (attempt - 1))
  const pause = askedMs === undefined ? ours * random : askedMs + Math.min(ours, Math.max(askedMs, policy.baseMs)) * random
  return elapsedMs + pause > policy.totalMs ? undefined : pause
}

/** Waits, or rejects with the signal's reason. */
export function wait(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const end = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', end)
      resolve()
    }, ms)
    signal?.addEventListener('abort', end, { once: true })
  })
}
