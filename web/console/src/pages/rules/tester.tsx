// What would the rules let somebody do in a channel, and which of them decides?

import { type FormEvent, useState } from 'react'
import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { areAllAt, faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import { Panel } from '../../parts/page.js'
import { Answer } from '../../parts/states.js'
import { Verdicts } from '../../parts/verdicts.js'
import { Link, useParams } from '../../route.js'
import { actions, meaning, type Rule, type Tried, type Verdict } from './shapes.js'

export function Tester({ tenant, rules }: { tenant: string; rules: readonly Rule[] }) {
  const [query, change] = useParams()
  const asked = { user: query.get('user') ?? '', roles: query.get('roles') ?? '', channel: query.get('channel') ?? '' }
  const [draft, setDraft] = useState(asked)
  const isAsked = asked.user !== '' && asked.channel !== ''
  // A rule that was changed is another question.
  const key = isAsked ? `try ${tenant} ${JSON.stringify([asked, rules])}` : null
  const tried = useAsk(key, (signal) => get<Tried>('/v1/channel-rules/test', { signal, query: { tenant, ...asked } }), {
    // A publisher decides by rules that are a second old at most: the answer just after a change may be of before it.
    every: 2_000,
  })
  const send = (event: FormEvent) => {
    event.preventDefault()
    const next = { user: draft.user.trim(), roles: draft.roles.trim(), channel: draft.channel.trim() }
    if (JSON.stringify(next) === JSON.stringify(asked)) tried.reload()
    else change(next)
  }
  const problem = isAsked ? tried.problem : null
  return (
    <Panel title="Try the rules" note="What somebody may whose token names no channels">
      <form className="form tester" aria-label="Try the rules" onSubmit={send}>
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
            label="Roles"
            value={draft.roles}
            placeholder="desk, night"
            fault={faultOf(problem, 'roles')}
            onChange={(roles) => setDraft({ ...draft, roles })}
          />
          <Field
            label="Channel"
            value={draft.channel}
            required
            className="mono"
            placeholder="order:17"
            fault={faultOf(problem, 'channel')}
            onChange={(channel) => setDraft({ ...draft, channel })}
          />
          <button type="submit">Try</button>
        </div>
        {isAsked && !areAllAt(problem, ['user', 'roles', 'channel']) && (
          <Answer of={tried} what="what they may do">
            {(answer) => <Allowed answer={answer} user={asked.user} />}
          </Answer>
        )}
      </form>
    </Panel>
  )
}

export function Allowed({ answer, user }: { answer: Tried; user: string }) {
  const can = actions.filter((action) => answer[action].verdict === 'allowed')
  const asks = actions.some((action) => answer[action].verdict === 'ask')
  return (
    <div className="tried" role="status">
      <p>
        <b>
          {can.length > 0
            ? `In ${answer.channel} ${user} may ${listed.format(can.map((action) => meaning[action].split(',')[0]!))}.`
            : asks
              ? `In ${answer.channel} ${user} may do what the application says when it is asked.`
              : `In ${answer.channel} ${user} may do nothing.`}
        </b>{' '}
        {answer.pattern === undefined ? (
          'No rule is for this channel.'
        ) : (
          <>
            The rule{' '}
            {answer.source === 'tenant' ? (
              <Link to="/rules" with={{ pattern: answer.pattern }} className="mono">
                {answer.pattern}
              </Link>
            ) : (
              <code>{answer.pattern}</code>
            )}{' '}
            decides{answer.source === 'defaults' && ', one of the installation, for the tenant has none'}.
          </>
        )}
      </p>
      <Verdicts
        rows={actions.map((action) => {
          const { verdict, why } = answer[action]
          return { what: meaning[action], why, is: answers[verdict], word: verdict }
        })}
      />
    </div>
  )
}

const listed = new Intl.ListFormat('en')
const answers = { allowed: 'yes', forbidden: 'no', ask: 'depends' } as const satisfies Record<Verdict['verdict'], string>
