// Why was this event (not) delivered to this person? One answer in words, then the facts in the order of an event's way.

import { type FormEvent, useState } from 'react'
import { get } from '../api.js'
import { useAsk } from '../ask.js'
import { number } from '../format.js'
import { Icon } from '../icons.js'
import { type Fact, FactDetail, type Is } from '../parts/fact.js'
import { Field } from '../parts/fields.js'
import { Badge, Page, Panel } from '../parts/page.js'
import { Answer, Empty } from '../parts/states.js'
import { Link, useParams } from '../route.js'
import { useChosenTenant } from '../tenant.js'

interface Why {
  readonly event: string
  readonly user: string
  readonly verdict: string
  readonly delivered: boolean | null
  readonly answer: string
  readonly seq: number | null
  readonly facts: readonly Fact[]
}

export default function WhyPage() {
  const tenant = useChosenTenant()
  const [query, change] = useParams()
  const of = (name: string) => query.get(name) ?? ''
  const asked = { event: of('event'), user: of('user'), device: of('device'), roles: of('roles') }
  const key = JSON.stringify(asked)
  const isWhole = asked.event !== '' && asked.user !== ''
  const why = useAsk(isWhole ? `why ${tenant} ${key}` : null, (signal) => get<Why>('/v1/why', { query: asked, signal }))
  return (
    <Page title="Why was it (not) delivered?" lead="One event and one person: what happened on the way between them.">
      <Question key={key} asked={asked} ask={change} again={why.reload} />
      {isWhole ? (
        <Answer of={why} what="the answer">
          {(value) => <Told why={value} />}
        </Answer>
      ) : (
        <div className="panel">
          <Empty title="Name an event and a person">
            The id of an event is in the answer that published it, in the <Link to="/tail">live tail</Link> and in your own
            records.
          </Empty>
        </div>
      )}
    </Page>
  )
}

type Asking = Record<'event' | 'user' | 'device' | 'roles', string>

function Question({ asked, ask, again }: { asked: Asking; ask: (values: Asking) => void; again: () => void }) {
  const [form, setForm] = useState(asked)
  const field = (name: keyof Asking) => ({
    value: form[name],
    onChange: (text: string) => setForm({ ...form, [name]: text.trim() }),
  })
  const send = (event: FormEvent) => {
    event.preventDefault()
    if (JSON.stringify(form) === JSON.stringify(asked)) again()
    else ask(form)
  }
  return (
    <form className="panel question" onSubmit={send} aria-label="Question">
      <Field label="Event (its id)" placeholder="order-17" {...field('event')} />
      <Field label="Person" placeholder="mila" {...field('user')} />
      <Field label="Device, if one is meant" placeholder="any" {...field('device')} />
      <Field label="Roles of their token" placeholder="teacher,director" {...field('roles')} />
      <button type="submit" className="primary" disabled={!form.event || !form.user}>
        Ask
      </button>
    </form>
  )
}

function Told({ why }: { why: Why }) {
  const { delivered } = why
  const is: Is = delivered === null ? 'unknown' : delivered ? 'yes' : 'no'
  const short = { yes: 'It reached them', no: 'It did not reach them', unknown: 'Whether it reached them is not known' }[is]
  return (
    <>
      <section className="verdict" data-is={is} aria-label="The answer">
        <Icon name={is === 'unknown' ? 'why' : is} />
        <div className="grow">
          <p className="said">{why.answer}</p>
          <p className="help">
            {short} · <code>{why.verdict}</code>
          </p>
        </div>
        {why.seq !== null && <Badge>{`seq ${number(why.seq)}`}</Badge>}
      </section>
      {why.facts.length > 0 && (
        <Panel title="The way of the event" note={`${why.facts.length} facts`} flush>
          <ol className="way">
            {why.facts.map((fact, at) => (
              <li key={at} data-is={fact.is}>
                <Mark is={fact.is} />
                <div className="grow">
                  <h3>{names[fact.code] ?? fact.code}</h3>
                  <p>{fact.words}</p>
                  <FactDetail fact={fact} event={why.event} user={why.user} />
                </div>
              </li>
            ))}
          </ol>
        </Panel>
      )}
    </>
  )
}

const labels: Record<Is, string> = { yes: 'It went on here', no: 'It ended here', unknown: 'Not known' }

function Mark({ is }: { is: Is }) {
  return (
    <span className="mark-of" data-is={is}>
      <Icon name={is} label={labels[is]} />
    </span>
  )
}

const names: Record<string, string> = {
  log: 'The log',
  notice: 'The notice',
  channel: 'A channel',
  except: 'Not to its publisher',
  preferences: 'What they want to get',
  sessions: 'Connections at that time',
  device: 'A device',
  devices: 'Further devices',
  activity: 'What they did after it',
  escalation: 'Escalations',
  webhook: 'A webhook',
}
