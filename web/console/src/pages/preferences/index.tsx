// Would somebody get something of a type, now or at a time, by which means, and why not?

import { type FormEvent, useState } from 'react'
import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { dateTime } from '../../format.js'
import { forAdministrators } from '../../parts/administrators.js'
import { areAllAt, faultOf } from '../../parts/faults.js'
import { Field, Select } from '../../parts/fields.js'
import { Facts, Page, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Verdicts } from '../../parts/verdicts.js'
import { Link, useParams } from '../../route.js'
import { useChosenTenant } from '../../tenant.js'
import { Said } from './said.js'
import { inWords, means, type Tried, where } from './shapes.js'

const names = ['user', 'type', 'at', 'priority'] as const
const priorities = [
  ['', 'As the type says'],
  ...['low', 'normal', 'high', 'urgent', 'critical'].map((one) => [one, one] as const),
] as const

export default forAdministrators('Preferences', Preferences)

function Preferences() {
  const tenant = useChosenTenant()
  const [query, change] = useParams()
  const asked = {
    user: query.get('user') ?? '',
    type: query.get('type') ?? '',
    at: query.get('at') ?? '',
    priority: query.get('priority') ?? '',
  }
  const [draft, setDraft] = useState({ ...asked, at: localOf(asked.at) })
  const isAsked = asked.user !== '' && asked.type !== ''
  const tried = useAsk(isAsked ? `preferences ${tenant} ${JSON.stringify(asked)}` : null, (signal) =>
    get<Tried>('/v1/preferences/test', { signal, query: { tenant, ...asked } }),
  )
  // Their names are offered; without them the page works as well.
  const types = useAsk(`types ${tenant}`, (signal) =>
    get<{ types: { type: string }[] }>('/v1/event-types', { signal, query: { tenant } }),
  )
  const send = (event: FormEvent) => {
    event.preventDefault()
    const at = new Date(draft.at)
    const next = {
      user: draft.user.trim(),
      type: draft.type.trim(),
      at: draft.at && !Number.isNaN(at.getTime()) ? at.toISOString() : '',
      priority: draft.priority,
    }
    if (JSON.stringify(next) === JSON.stringify(asked)) tried.reload()
    else change(next)
  }
  const problem = isAsked ? tried.problem : null
  return (
    <Page
      title="Preferences tester"
      lead="Would somebody get something of this type, now or at a time, and why not? Answered by the same rules that decide it when an event is published."
    >
      <Panel title="The question">
        <form className="form tester" aria-label="Try preferences" onSubmit={send}>
          <div className="fields">
            <Field
              label="User"
              value={draft.user}
              required
              placeholder="mila"
              fault={faultOf(problem, 'user')}
              onChange={(user) => setDraft({ ...draft, user })}
            />
            <Field
              label="Type of event"
              value={draft.type}
              required
              className="mono"
              placeholder="order.paid"
              list="known-types"
              fault={faultOf(problem, 'type')}
              onChange={(type) => setDraft({ ...draft, type })}
            />
            <datalist id="known-types">
              {types.value?.types.map(({ type }) => (
                <option key={type} value={type} />
              ))}
            </datalist>
            <Field
              label="When (local time)"
              type="datetime-local"
              value={draft.at}
              help={draft.at ? undefined : 'Empty: now'}
              fault={faultOf(problem, 'at')}
              onChange={(at) => setDraft({ ...draft, at })}
            />
            <Select
              label="Priority"
              value={draft.priority}
              options={priorities}
              onChange={(priority) => setDraft({ ...draft, priority })}
            />
            <button type="submit" className="primary">
              Ask
            </button>
          </div>
        </form>
      </Panel>
      {!isAsked ? (
        <Panel title="The answer">
          <Empty title="Ask about a person and a type">
            Say who, and of which type. Whether an event is addressed to them at all is another question:{' '}
            <Link to="/why">ask about one event</Link>.
          </Empty>
        </Panel>
      ) : (
        !areAllAt(problem, names) && (
          <div className="columns">
            <Panel title="The answer">
              <Answer of={tried} what="the answer">
                {(answer) => <Told tried={answer} isNow={!asked.at} />}
              </Answer>
            </Panel>
            <Said key={asked.user} tenant={tenant} user={asked.user} type={asked.type} />
          </div>
        )
      )}
    </Page>
  )
}

function Told({ tried, isNow }: { tried: Tried; isNow: boolean }) {
  const { quiet, quiet_until, zone, wall_clock, locale, priority } = tried
  return (
    <div className="tried" role="status">
      <p className="sentence">{inWords(tried, isNow)}</p>
      <Verdicts
        rows={means.map((one) => {
          const { gets, held, why } = tried[one]
          return {
            what: where[one],
            why: why.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, (time) => dateTime(time)),
            is: gets ? 'yes' : held ? 'depends' : 'no',
            word: gets ? 'gets it' : held ? 'held' : 'off',
          } as const
        })}
      />
      <Facts
        of={[
          [
            'Quiet',
            quiet
              ? `yes, ${quiet_until ? `until ${dateTime(quiet_until)} by this browser's clock` : 'with no end in sight'}`
              : 'no',
          ],
          ['Their clock', `${wall_clock.replace('T', ' ').slice(0, 16)}, ${zone}`],
          ['Priority', priority],
          ['Language', locale ?? 'the text without a language'],
        ]}
      />
    </div>
  )
}

/** `2026-11-30T22:15` of this browser's zone, which `datetime-local` wants. */
function localOf(time: string): string {
  const at = new Date(time)
  if (!time || Number.isNaN(at.getTime())) return ''
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}
