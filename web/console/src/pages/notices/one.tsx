// What became of one notice: whom has it reached, who has not taken note, what does it say, and how is it taken back?

import { useState } from 'react'
import { call, get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { ago, dateTime, number, percent } from '../../format.js'
import { useAct } from '../../parts/act.js'
import { Cards } from '../../parts/cards.js'
import { Confirm } from '../../parts/dialog.js'
import { Figure, Figures } from '../../parts/figure.js'
import { Outcome } from '../../parts/outcome.js'
import { Badge, Facts, Panel } from '../../parts/page.js'
import { Answer } from '../../parts/states.js'
import { Link } from '../../route.js'
import { useMay } from '../../session.js'
import { People } from './people.js'
import { type Notice, noticeOf, pathOf, type Row, type Status, textsOf } from './shapes.js'

interface OneProps {
  readonly tenant: string
  readonly id: string
  /** As the list has it; null: it is not in the list. */
  readonly notice: Notice | null
  readonly changed: () => void
}

export function One({ tenant, id, notice, changed }: OneProps) {
  const may = useMay('publish')
  const [isAsked, ask] = useState(false)
  const retracting = useAct()
  const status = useAsk(`notice ${tenant} ${id}`, (signal) => get<Status>(pathOf(id), { signal, query: { tenant, limit: 1 } }), {
    every: 5_000,
  })
  const event = useAsk(notice ? null : `event ${tenant} ${id}`, async (signal) =>
    noticeOf(await get<Row>(`/v1/events/${encodeURIComponent(id)}`, { signal, query: { tenant } })),
  )
  const said = notice ?? event.value ?? null
  const retract = async () => {
    await retracting.run(async () => {
      await call('DELETE', pathOf(id), { query: { tenant } })
      return 'It is taken back: it is in no inbox any more.'
    })
    status.reload()
    changed()
  }
  return (
    <>
      <Panel
        title={status.value?.title ?? said?.notify.title ?? 'Notice'}
        note={status.value && <State of={status.value} />}
        actions={
          status.value &&
          !status.value.retracted_at && (
            <button
              type="button"
              className="danger"
              disabled={!may || retracting.isRunning}
              title={may ? undefined : 'It is taken back with the scope publish'}
              onClick={() => ask(true)}
            >
              Take back…
            </button>
          )
        }
      >
        <div className="form">
          <Outcome of={retracting} />
          <Answer of={status} what="what became of it">
            {(value) => (
              <>
                <Reach of={value} />
                <Facts
                  of={[
                    ['Sent', `${dateTime(value.time)} (${ago(value.time)})${said?.actor ? ` by ${said.actor}` : ''}`],
                    ['Type', <code key="type">{value.type}</code>],
                    ['For', said && <Channels key="for" of={said.channels} />],
                    ['Action', said?.notify.action && <code key="action">{said.notify.action}</code>],
                    ['Priority', said?.notify.priority],
                    ['Group', said?.notify.group],
                    ['Expires', value.expires_at && `${dateTime(value.expires_at)} (${ago(value.expires_at)})`],
                    ['Taken back', value.retracted_at && dateTime(value.retracted_at)],
                    ['Event', <code key="id">{value.id}</code>],
                  ]}
                />
              </>
            )}
          </Answer>
        </div>
      </Panel>
      {said && (
        <Panel title="What it says" note={said.notify.locales ? 'In each of its languages' : undefined}>
          <Cards of={textsOf(said.notify)} />
        </Panel>
      )}
      {status.value?.escalate && <Escalation of={status.value.escalate} />}
      {status.value && <People tenant={tenant} status={status.value} />}
      {isAsked && (
        <Confirm
          title="Take this notice back?"
          text="It leaves every inbox and every count, and whoever is connected is told so at once. Its event stays in the log. This cannot be undone."
          action="Take it back"
          run={() => void retract()}
          close={() => ask(false)}
        />
      )}
    </>
  )
}

function State({ of }: { of: Status }) {
  if (of.retracted_at) return <Badge>taken back</Badge>
  if (of.expires_at && new Date(of.expires_at).getTime() < Date.now()) return <Badge>expired</Badge>
  if (!of.requires_ack) return <Badge tone="accent">in inboxes</Badge>
  const rest = Math.max(0, of.audience - of.acked)
  return rest === 0 ? (
    <Badge tone="good">all have taken note</Badge>
  ) : (
    <Badge tone="warn">
      {number(rest)} {rest === 1 ? 'has' : 'have'} not taken note
    </Badge>
  )
}

function Reach({ of }: { of: Status }) {
  const part = (name: string, value: number) => (
    <Figure name={name} value={number(value)} under={of.audience > 0 ? percent(value, of.audience) : 'of nobody'} />
  )
  return (
    <Figures label="Whom it has reached">
      <Figure name="Audience" value={number(of.audience)} under="people known" />
      {part('Delivered', of.delivered)}
      {part('Seen', of.seen)}
      {part('Read', of.read)}
      {part('Taken note', of.acked)}
    </Figures>
  )
}

function Channels({ of }: { of: readonly string[] }) {
  return (
    <span className="row">
      {of.slice(0, 12).map((channel) =>
        channel.startsWith('user:') ? (
          <Link key={channel} to="/inspect" with={{ user: channel.slice(5) }} className="mono">
            {channel}
          </Link>
        ) : (
          <code key={channel}>{channel === 'tenant' ? 'everybody of the tenant' : channel}</code>
        ),
      )}
      {of.length > 12 && <small>and {number(of.length - 12)} more</small>}
    </span>
  )
}

function Escalation({ of }: { of: NonNullable<Status['escalate']> }) {
  return (
    <Panel title="Escalation" note="Who is told when people do not take note" flush>
      <ol className="steps">
        {of.map((step, at) => (
          <li key={`${at} ${step.after} ${step.to}`}>
            <b>After {step.after}</b>
            <span className="grow">
              {step.who === 'not_delivered' ? 'whom it has not reached' : 'who has not taken note'} → <code>{step.to}</code>
            </span>
            <small>
              {step.due_at ? `due ${ago(step.due_at)}` : 'done'} · {number(step.told)} named
              {step.held > 0 && `, ${number(step.held)} held by quiet hours`}
            </small>
          </li>
        ))}
      </ol>
    </Panel>
  )
}
