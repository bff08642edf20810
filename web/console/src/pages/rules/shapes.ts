// How does a channel rule look in answers, in requests and in the form?

import { entriesOf } from '../../parts/faults.js'

export const actions = ['subscribe', 'publish', 'signal', 'presence', 'history'] as const
export type Action = (typeof actions)[number]

/** What each of them lets people do. */
export const meaning: Readonly<Record<Action, string>> = {
  subscribe: 'get its events as they happen',
  publish: 'publish events',
  signal: 'send signals',
  presence: 'see who is here, and be seen',
  history: 'read its past',
}

export type Rule = Readonly<Record<Action, readonly string[]>> & {
  readonly pattern: string
  readonly client_types: readonly string[]
  readonly durable: boolean
  readonly typing: boolean
  readonly presence_grace_ms: number
  readonly rate: number
  readonly unreadable?: true
}

export interface Verdict {
  readonly verdict: 'allowed' | 'forbidden' | 'ask'
  readonly why: string
}
export type Tried = Readonly<Record<Action, Verdict>> & {
  readonly channel: string
  readonly pattern?: string
  readonly source?: 'tenant' | 'defaults'
}

/** A rule while it is edited: lists are texts. */
export type Draft = Record<Action | 'pattern' | 'client_types' | 'presence_grace_ms' | 'rate', string> & {
  durable: boolean
  typing: boolean
  pastAsSubscribe: boolean
}

export const fresh: Draft = {
  pattern: '',
  subscribe: 'anyone',
  publish: '',
  signal: '',
  presence: '',
  history: '',
  client_types: '',
  durable: false,
  typing: true,
  presence_grace_ms: '10000',
  rate: '10',
  pastAsSubscribe: true,
}

const shown = (entries: readonly string[]) => entries.join(', ')

export function draftOf(rule: Rule): Draft {
  const pastAsSubscribe = shown(rule.history) === shown(rule.subscribe)
  return {
    pattern: rule.pattern,
    subscribe: shown(rule.subscribe),
    publish: shown(rule.publish),
    signal: shown(rule.signal),
    presence: shown(rule.presence),
    history: pastAsSubscribe ? '' : shown(rule.history),
    // All types is what it says without any.
    client_types: shown(rule.client_types.filter((type) => type !== '*')),
    durable: rule.durable,
    typing: rule.typing,
    presence_grace_ms: `${rule.presence_grace_ms}`,
    rate: `${rule.rate}`,
    pastAsSubscribe,
  }
}

/** A number as it was typed, so that the server says what is wrong with another text. */
const numberOf = (text: string) => (text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text)

export function bodyOf(draft: Draft): Record<string, unknown> {
  const types = entriesOf(draft.client_types)
  return {
    subscribe: entriesOf(draft.subscribe),
    publish: entriesOf(draft.publish),
    signal: entriesOf(draft.signal),
    presence: entriesOf(draft.presence),
    ...(!draft.pastAsSubscribe && { history: entriesOf(draft.history) }),
    ...(types.length > 0 && { client_types: types }),
    durable: draft.durable,
    typing: draft.typing,
    presence_grace_ms: numberOf(draft.presence_grace_ms),
    rate: numberOf(draft.rate),
  }
}
