// How does a notice look while it is written, and what is sent of it?

import { entriesOf } from '../../parts/faults.js'

export interface Step {
  readonly after: string
  readonly webhook: string
  readonly who: 'not_acked' | 'not_delivered'
}

export interface Draft {
  /** The type whose templates write it; null: it has a text of its own. */
  readonly template: string | null
  readonly title: string
  readonly body: string
  /** JSON that fills the templates. */
  readonly data: string
  readonly tenant: boolean
  readonly users: string
  readonly roles: string
  readonly channels: string
  readonly type: string
  readonly priority: string
  readonly action: string
  readonly group: string
  /** As `datetime-local` has it. */
  readonly expires: string
  readonly requiresAck: boolean
  readonly steps: readonly Step[]
}

export const fresh: Draft = {
  template: null,
  title: '',
  body: '',
  data: '{}',
  tenant: false,
  users: '',
  roles: '',
  channels: '',
  type: '',
  priority: '',
  action: '',
  group: '',
  expires: '',
  requiresAck: false,
  steps: [],
}

export function bodyOf(draft: Draft, data: unknown): Record<string, unknown> {
  const [users, roles, channels] = [draft.users, draft.roles, draft.channels].map(entriesOf)
  const audience = {
    ...(draft.tenant && { tenant: true }),
    ...(users!.length > 0 && { users }),
    ...(roles!.length > 0 && { roles }),
    ...(channels!.length > 0 && { channels }),
  }
  const text =
    draft.template === null
      ? { title: draft.title, ...(draft.body && { body: draft.body }), ...(draft.type.trim() && { type: draft.type.trim() }) }
      : { type: draft.template, data: data ?? {} }
  const expires = new Date(draft.expires)
  return {
    ...text,
    audience,
    ...(draft.priority && { priority: draft.priority }),
    ...(draft.action.trim() && { action: draft.action.trim() }),
    ...(draft.group.trim() && { group: draft.group.trim() }),
    ...(draft.expires && !Number.isNaN(expires.getTime()) && { expires_at: expires.toISOString() }),
    ...(draft.requiresAck && { requires_ack: true }),
    ...(draft.steps.length > 0 && {
      escalate: draft.steps.map(({ after, webhook, who }) => ({ after: after.trim(), to: `webhook:${webhook.trim()}`, who })),
    }),
  }
}

/** `POST /v1/dry-runs/notices`: what would be stored, and whom it is for. */
export interface DryRun {
  readonly events: readonly {
    readonly notice: {
      readonly title: string
      readonly body?: string | null
      readonly locales?: Readonly<Record<string, { title?: string; body?: string }>>
    } | null
    /** Null: not told to these credentials. */
    readonly audience: {
      readonly people: number
      readonly devices: number
      readonly connected: number
      readonly complete: boolean
    } | null
  }[]
}
