// What stands behind one fact of an answer to "why"?

import type { ReactNode } from 'react'
import { ago, dateTime, number } from '../format.js'
import { Link } from '../route.js'
import { Badge, Facts } from './page.js'
import { Table } from './table.js'

export type Is = 'yes' | 'no' | 'unknown'

export interface Fact {
  readonly code: string
  readonly is: Is
  readonly words: string
  // biome-ignore lint/suspicious/noExplicitAny: what it says depends on its code
  readonly data: any
}

const yes = (value: unknown) => (value === undefined || value === null ? null : value ? 'yes' : 'no')
const moment = (time: unknown) => (typeof time === 'string' ? dateTime(time) : null)
const listed = (parts: readonly unknown[], between: string) => parts.filter(Boolean).join(between)

export function FactDetail({ fact: { code, data }, event, user }: { fact: Fact; event: string; user: string }): ReactNode {
  if (!data) return null
  switch (code) {
    case 'log':
      if (!data.id) return <Facts of={[['The log reaches back to', moment(data.oldest)]]} />
      return (
        <Facts
          of={[
            ['Type', data.type],
            ['Stored', data.stored_at ? `${dateTime(data.stored_at)}, ${ago(data.stored_at)}` : null],
            ['Its own time', moment(data.time)],
            ['Source', data.source],
            ['Actor', data.actor],
            ['Priority', data.priority],
            ['Channels', data.channels?.join(', ')],
          ]}
        />
      )
    case 'notice':
      return (
        <Facts
          of={[
            ['Title', data.title],
            ['In the inbox', yes(data.in_inbox)],
            ['Read', yes(data.read)],
            ['Archived', data.archived ? 'yes' : null],
            ['Deleted', data.deleted ? 'yes' : null],
            ['Snoozed until', moment(data.snoozed_until)],
            ['Must be acknowledged', data.requires_ack ? 'yes' : null],
            ['Acknowledged', moment(data.acked_at)],
            ['Expires', moment(data.expires_at)],
            ['Retracted', moment(data.retracted_at)],
          ]}
        />
      )
    case 'channel':
      return (
        <Facts
          of={[
            ['Channel', data.channel],
            ['By', listed([data.by, data.pattern, data.source], ' · ')],
            ['Verdict', data.verdict],
          ]}
        />
      )
    case 'preferences':
      return <Preferences data={data} />
    case 'sessions':
      return <Sessions data={data} />
    case 'device':
      return (
        <Facts
          of={[
            [
              'Device',
              <Link key="device" to="/why" with={{ event, user, device: data.device }}>
                {data.device}
              </Link>,
            ],
            ['Connected', yes(data.connected)],
            ['Has it', yes(data.has)],
            ['Acknowledged', yes(data.acknowledged)],
            [
              'Is at',
              typeof data.delivered === 'number' ? `seq ${number(data.delivered)}, acknowledged ${number(data.acked)}` : null,
            ],
            ['In one of its channels', yes(data.in_channel)],
            ['Seen', data.last_seen ? `${dateTime(data.first_seen)} to ${dateTime(data.last_seen)}` : null],
          ]}
        />
      )
    case 'activity':
      return data.after ? <Facts of={[[data.after.name, moment(data.after.time)]]} /> : null
    case 'escalation':
      return Array.isArray(data) ? <Escalations steps={data} /> : null
    case 'webhook':
      return <Webhook data={data} />
    default:
      return null
  }
}

interface Means {
  readonly gets: boolean
  readonly held: boolean
  readonly why: string
}

const means = ['inbox', 'toast', 'desktop', 'webhooks'] as const

function Preferences({
  data,
}: {
  data: Record<(typeof means)[number], Means> & { quiet?: boolean; quiet_until?: string; zone?: string; wall_clock?: string }
}) {
  const until = data.quiet_until ? `until ${dateTime(data.quiet_until)}` : 'until they say otherwise'
  return (
    <>
      <Facts
        of={[
          ['Quiet', data.quiet ? until : 'no'],
          ['Their clock', listed([data.wall_clock, data.zone], ', ')],
        ]}
      />
      <Table
        label="By which means"
        rows={means.filter((one) => data[one])}
        id={(one) => one}
        columns={[
          { name: 'Means', cell: (one) => one },
          { name: 'Gets it', cell: (one) => <Gets {...data[one]} /> },
          { name: 'Why', cell: (one) => data[one].why },
        ]}
      />
    </>
  )
}

function Gets({ gets, held }: Means) {
  if (gets) return <Badge tone="good">yes</Badge>
  return held ? <Badge tone="warn">held</Badge> : <Badge tone="bad">no</Badge>
}

interface Connection {
  readonly connection: string
  readonly device: string | null
  readonly node: string
  readonly transport: string
  readonly opened_at: string
  readonly closed_at: string | null
  readonly reason: string | null
}

function Sessions({ data }: { data: { open?: Connection[]; before?: Connection | null; after?: Connection | null } }) {
  const rows = [
    ...(data.before ? [{ ...data.before, when: 'before' }] : []),
    ...(data.open ?? []).map((one) => ({ ...one, when: 'open then' })),
    ...(data.after ? [{ ...data.after, when: 'after' }] : []),
  ]
  if (rows.length === 0) return null
  return (
    <Table
      label="Connections"
      rows={rows}
      id={(one) => `${one.when} ${one.connection}`}
      columns={[
        { name: 'When', cell: (one) => (one.when === 'open then' ? <Badge tone="good">{one.when}</Badge> : one.when) },
        { name: 'Device', cell: (one) => one.device ?? 'without a name' },
        { name: 'Node', cell: (one) => <span className="mono">{one.node}</span> },
        { name: 'Opened', cell: (one) => dateTime(one.opened_at) },
        { name: 'Closed', cell: (one) => (one.closed_at ? `${dateTime(one.closed_at)} ${one.reason ?? ''}` : 'open') },
      ]}
    />
  )
}

interface Step {
  readonly step: number
  readonly who?: string
  readonly webhook?: string
  readonly due_at?: string
  readonly told?: number
}

function Escalations({ steps }: { steps: readonly Step[] }) {
  return (
    <Table
      label="Escalations"
      rows={steps}
      id={(step) => `${step.step}`}
      columns={[
        { name: 'Step', cell: (step) => step.step },
        { name: 'Who', cell: (step) => step.who ?? step.webhook ?? '–' },
        { name: 'Due', cell: (step) => moment(step.due_at) ?? '–' },
        { name: 'Told', isNumber: true, cell: (step) => number(step.told) },
      ]}
    />
  )
}

interface Attempt {
  readonly at: string
  readonly status: number | null
  readonly ms: number | null
  readonly error: string | null
}

function Webhook({
  data,
}: {
  data: { webhook: string; state: string; failures?: number; next_at?: string; attempts?: readonly Attempt[] }
}) {
  return (
    <>
      <Facts
        of={[
          ['Webhook', data.webhook],
          ['State', data.state],
          ['Failures', data.failures ? number(data.failures) : null],
          ['Next try', moment(data.next_at)],
        ]}
      />
      {data.attempts && data.attempts.length > 0 && (
        <Table
          label="Attempts"
          rows={data.attempts}
          id={(attempt) => attempt.at}
          columns={[
            { name: 'At', cell: (attempt) => dateTime(attempt.at) },
            { name: 'Answer', cell: (attempt) => attempt.status ?? '–' },
            { name: 'Took', isNumber: true, cell: (attempt) => (attempt.ms === null ? '–' : `${number(attempt.ms)} ms`) },
            { name: 'Error', cell: (attempt) => attempt.error ?? '' },
          ]}
        />
      )}
    </>
  )
}
