// Of which parts is the form of a notice made?

import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { Area, Check } from '../../parts/area.js'
import { faultOf } from '../../parts/faults.js'
import { Field, Select } from '../../parts/fields.js'
import type { Problem } from '../../problem.js'
import { type EventType, sampleOf } from '../types/shapes.js'
import type { Draft, Step } from './draft.js'

/** Whose faults are shown at a field, in the form as it is now. */
export const placesOf = (draft: Draft): readonly string[] => [
  '/type',
  ...(draft.template === null ? ['/title', '/body'] : ['/data', '/template']),
  '/audience',
  '/priority',
  '/action',
  '/group',
  '/expires_at',
  '/requires_ack',
  '/escalate',
]

interface PartProps {
  readonly draft: Draft
  readonly problem: Problem | null
  readonly change: (values: Partial<Draft>) => void
}

export function Text({ tenant, draft, problem, dataFault, change }: PartProps & { tenant: string; dataFault: string | null }) {
  // Without types, or the right to see them, a notice has a text of its own.
  const types = useAsk(`types ${tenant}`, (signal) =>
    get<{ types: EventType[] }>('/v1/event-types', { signal, query: { tenant } }),
  )
  const written = types.value?.types.filter((one) => one.title) ?? []
  const choose = (type: string) => {
    const found = written.find((one) => one.type === type)
    change(found ? { template: type, data: JSON.stringify(sampleOf(found), null, 2) } : { template: null })
  }
  return (
    <>
      <legend>What it says</legend>
      {written.length > 0 && (
        <Select
          label="Text"
          value={draft.template ?? ''}
          options={[['', 'Of its own'], ...written.map(({ type }) => [type, `By the templates of ${type}`] as const)]}
          fault={draft.template === null ? null : faultOf(problem, '/type')}
          onChange={choose}
        />
      )}
      {draft.template === null ? (
        <>
          <Field
            label="Title"
            value={draft.title}
            placeholder="Fire drill at ten"
            fault={faultOf(problem, '/title')}
            onChange={(title) => change({ title })}
          />
          <Area label="Body" value={draft.body} fault={faultOf(problem, '/body')} onChange={(body) => change({ body })} />
        </>
      ) : (
        <Area
          label="Data that fills the templates"
          value={draft.data}
          className="mono"
          rows={Math.min(12, Math.max(3, draft.data.split('\n').length))}
          fault={dataFault ?? [faultOf(problem, '/data'), faultOf(problem, '/template')].filter(Boolean).join('; ')}
          onChange={(data) => change({ data })}
        />
      )}
    </>
  )
}

export function Audience({ draft, problem, change }: PartProps) {
  const own = faultOf(problem, '/audience', ['/audience/tenant', '/audience/users', '/audience/roles', '/audience/channels'])
  return (
    <>
      <legend>Whom it is for</legend>
      {own && <p className="fault">{own}</p>}
      <Check
        label="Everybody of the tenant"
        value={draft.tenant}
        fault={faultOf(problem, '/audience/tenant')}
        onChange={(tenant) => change({ tenant })}
      />
      <div className="fields wide">
        <Field
          label="People"
          value={draft.users}
          placeholder="mila, noor"
          fault={faultOf(problem, '/audience/users')}
          onChange={(users) => change({ users })}
        />
        <Field
          label="Roles"
          value={draft.roles}
          placeholder="teacher"
          fault={faultOf(problem, '/audience/roles')}
          onChange={(roles) => change({ roles })}
        />
        <Field
          label="Who follows or is in the channels"
          value={draft.channels}
          className="mono"
          placeholder="order:17"
          help="With commas between"
          fault={faultOf(problem, '/audience/channels')}
          onChange={(channels) => change({ channels })}
        />
      </div>
    </>
  )
}

const priorities = [
  ['', 'As its type says'],
  ...['low', 'normal', 'high', 'urgent', 'critical'].map((one) => [one, one] as const),
] as const

export function Details({ draft, problem, change }: PartProps) {
  return (
    <>
      <legend>How</legend>
      <div className="fields">
        <Select
          label="Priority"
          value={draft.priority}
          options={priorities}
          fault={faultOf(problem, '/priority')}
          onChange={(priority) => change({ priority })}
        />
        {draft.template === null && (
          <Field
            label="Type"
            value={draft.type}
            className="mono"
            placeholder="notice"
            fault={faultOf(problem, '/type')}
            onChange={(type) => change({ type })}
          />
        )}
        <Field
          label="A click leads to"
          value={draft.action}
          className="mono"
          placeholder="/drill"
          fault={faultOf(problem, '/action')}
          onChange={(action) => change({ action })}
        />
        <Field
          label="Group"
          value={draft.group}
          placeholder="none"
          fault={faultOf(problem, '/group')}
          onChange={(group) => change({ group })}
        />
        <Field
          label="Expires (local time)"
          type="datetime-local"
          value={draft.expires}
          fault={faultOf(problem, '/expires_at')}
          onChange={(expires) => change({ expires })}
        />
      </div>
      <Check
        label="People are asked to take note"
        help="Who has not is listed, and can be told by an escalation."
        value={draft.requiresAck}
        fault={faultOf(problem, '/requires_ack')}
        onChange={(requiresAck) => change({ requiresAck })}
      />
    </>
  )
}

const whos = [
  ['not_acked', 'Who has not taken note'],
  ['not_delivered', 'Whom it has not reached'],
] as const

/** The API takes so many steps of a notice. */
const MOST_STEPS = 5

export function Escalate({ draft, problem, change }: PartProps) {
  const set = (at: number, values: Partial<Step>) =>
    change({ steps: draft.steps.map((step, index) => (index === at ? { ...step, ...values } : step)) })
  const ofSteps = draft.steps.flatMap((_, at) => ['after', 'to', 'who'].map((name) => `/escalate/${at}/${name}`))
  const own = faultOf(problem, '/escalate', ofSteps)
  return (
    <>
      <legend>When people do not take note</legend>
      {own && <p className="fault">{own}</p>}
      {draft.steps.map((step, at) => (
        <div className="fields step" key={at}>
          <Field
            label={`After (step ${at + 1})`}
            value={step.after}
            placeholder="5m"
            fault={faultOf(problem, `/escalate/${at}/after`)}
            onChange={(after) => set(at, { after })}
          />
          <Select
            label={`Who (step ${at + 1})`}
            value={step.who}
            options={whos}
            fault={faultOf(problem, `/escalate/${at}/who`)}
            onChange={(who) => set(at, { who: who as Step['who'] })}
          />
          <Field
            label={`To the webhook (step ${at + 1})`}
            value={step.webhook}
            placeholder="push"
            fault={faultOf(problem, `/escalate/${at}/to`)}
            onChange={(webhook) => set(at, { webhook })}
          />
          <button type="button" onClick={() => change({ steps: draft.steps.filter((_, index) => index !== at) })}>
            Remove
          </button>
        </div>
      ))}
      <p className="row">
        <button
          type="button"
          disabled={draft.steps.length >= MOST_STEPS}
          onClick={() => change({ steps: [...draft.steps, { after: '5m', webhook: '', who: 'not_acked' }] })}
        >
          Add a step
        </button>
        <span className="help">Their names are sent to a webhook of the tenant: to push, text or call them.</span>
      </p>
    </>
  )
}
