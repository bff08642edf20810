// How do a webhook, its failed deliveries and a test look, and what do they come to in words?

import { ago, number } from '../../format.js'

export interface Webhook {
  readonly id: string
  readonly url: string
  readonly types: readonly string[]
  readonly channels: readonly string[]
  readonly ordered: boolean
  readonly state: 'enabled' | 'disabled'
  readonly reason?: string
  readonly epoch: string
  readonly seq: number
  readonly behind: number
  readonly retrying: number
  readonly parked: number
  readonly waits_until?: string
  readonly failing_since?: string
  readonly delivered_at?: string
  /** Only in the answer to the request that made it. */
  readonly secret?: string
  readonly secret_before_until?: string
  readonly created_at: string
  readonly changed_at: string
}

export interface Delivery {
  readonly seq: number
  readonly state: 'retrying' | 'parked'
  readonly failures: number
  readonly next_at: string | null
  readonly attempts: readonly {
    readonly at: string
    readonly status: number | null
    readonly ms: number
    readonly error: string | null
  }[]
  readonly answer: string
}

export interface Tested {
  readonly delivered: boolean
  readonly message: string
  readonly status: number | null
  readonly ms: number
  readonly error: string | null
  readonly answer: string
}

export const pathOf = (id: string, rest = '') => `/v1/webhooks/${encodeURIComponent(id)}${rest}`

/** `in 5 min`, or `due now`. */
export const due = (time: string) => (new Date(time).getTime() > Date.now() + 500 ? ago(time) : 'due now')

const reasons: Readonly<Record<string, string>> = {
  administrator: 'An administrator disabled it.',
  gone: 'Its endpoint answered 410: it wants nothing any more.',
  failing: 'It failed for five days without one delivery.',
  too_many_failed: 'A thousand failed deliveries are parked, and no more are kept.',
}

interface Condition {
  readonly tone: 'good' | 'warn' | 'bad' | 'plain' | 'accent'
  readonly word: string
  readonly words: string
}

/** How it is, in a word and in a sentence. */
export function conditionOf(hook: Webhook): Condition {
  if (hook.state === 'disabled') {
    const why = hook.reason ? (reasons[hook.reason] ?? `${hook.reason}.`) : ''
    return { tone: hook.reason === 'administrator' ? 'plain' : 'bad', word: 'disabled', words: `Nothing is sent. ${why}` }
  }
  if (hook.failing_since)
    return {
      tone: 'bad',
      word: 'failing',
      words: `It began to fail ${ago(hook.failing_since)}, and nothing was delivered since.${hook.waits_until ? ` The next attempt is ${due(hook.waits_until)}.` : ''}`,
    }
  if (hook.waits_until)
    return { tone: 'warn', word: 'waiting', words: `Nothing is sent for now; it goes on ${due(hook.waits_until)}.` }
  if (hook.behind > 0)
    return { tone: 'accent', word: 'catching up', words: `${number(hook.behind)} events of the log are ahead of it.` }
  const last = hook.delivered_at ? ` The last delivery was ${ago(hook.delivered_at)}.` : ' Nothing has been delivered yet.'
  return { tone: 'good', word: 'up to date', words: `It is at the end of the log.${last}` }
}
