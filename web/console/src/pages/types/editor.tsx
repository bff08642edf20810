// What is said about one type, and how is that changed?

import { type FormEvent, useState } from 'react'
import { call } from '../../api.js'
import { useAct } from '../../parts/act.js'
import { Area, Check } from '../../parts/area.js'
import { Confirm } from '../../parts/dialog.js'
import { faultOf } from '../../parts/faults.js'
import { Field, Select } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Panel } from '../../parts/page.js'
import { go, href } from '../../route.js'
import { means, where } from '../preferences/shapes.js'
import { bodyOf, type Draft, draftOf, type EventType, fresh, readJson, type Said } from './shapes.js'
import { placesOf, Texts } from './texts.js'

const places = ['/priority', '/mandatory', '/defaults', '/schema']
const priorities = [
  ['', 'Unset (normal)'],
  ...['low', 'normal', 'high', 'urgent', 'critical'].map((one) => [one, one] as const),
] as const
const said = [
  ['', 'Unset (on)'],
  ['on', 'On'],
  ['off', 'Off'],
] as const

export function Editor({ tenant, type, changed }: { tenant: string; type: EventType | null; changed: () => void }) {
  const [draft, setDraft] = useState<Draft>(() => (type ? draftOf(type) : fresh))
  const [isAsked, ask] = useState(false)
  const saving = useAct()
  const { problem } = saving
  const set = (values: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...values }))
    if (saving.done) saving.clear()
  }
  const placed = [...places, ...(type ? [] : ['type']), ...placesOf(draft.texts)]
  const schema = readJson(draft.schema)
  const otherDefaults = faultOf(
    problem,
    '/defaults',
    means.map((one) => `/defaults/${one}`),
  )
  const name = draft.type.trim()
  const path = `/v1/event-types/${encodeURIComponent(name)}`
  const save = async (event: FormEvent) => {
    event.preventDefault()
    if (schema.fault) return
    const done = await saving.run(async () => {
      await call('PUT', path, { query: { tenant }, body: bodyOf(draft, schema.value) })
      return 'Saved. Every publisher keeps to it within two seconds.'
    })
    if (!done) return
    changed()
    if (!type) go(href('/types', { type: name }), { replace: true })
  }
  const remove = async () => {
    const done = await saving.run(async () => {
      await call('DELETE', path, { query: { tenant } })
      return undefined
    })
    if (!done) return
    changed()
    go(href('/types'))
  }
  return (
    <Panel title={type ? 'Type' : 'New type'} note={type && <code>{type.type}</code>}>
      <form className="form" aria-label={type ? `Type ${type.type}` : 'New type'} onSubmit={(event) => void save(event)}>
        {type?.unreadable && (
          <p className="note warn">
            This release cannot read what is stored, because a newer one wrote it. No event of this type is taken; saving replaces
            it.
          </p>
        )}
        {!type && (
          <Field
            label="Type"
            value={draft.type}
            required
            className="mono"
            placeholder="order.paid"
            fault={faultOf(problem, 'type')}
            onChange={(text) => set({ type: text })}
          />
        )}
        <fieldset>
          <Texts texts={draft.texts} problem={problem} change={(texts) => set({ texts })} />
        </fieldset>
        <fieldset>
          <legend>By which means, for whoever has said nothing</legend>
          <div className="fields">
            {means.map((one) => (
              <Select
                key={one}
                label={`${where[one][0]!.toUpperCase()}${where[one].slice(1)}`}
                value={draft.defaults[one]}
                options={said}
                fault={faultOf(problem, `/defaults/${one}`)}
                onChange={(value) => set({ defaults: { ...draft.defaults, [one]: value as Said } })}
              />
            ))}
            <Select
              label="Priority"
              value={draft.priority}
              options={priorities}
              fault={faultOf(problem, '/priority')}
              onChange={(priority) => set({ priority })}
            />
          </div>
          {otherDefaults && <p className="fault">{otherDefaults}</p>}
          <Check
            label="Mandatory"
            help="Nobody can switch it off: it is as the means above say."
            value={draft.mandatory}
            fault={faultOf(problem, '/mandatory')}
            onChange={(mandatory) => set({ mandatory })}
          />
        </fieldset>
        <fieldset>
          <legend>What its data must be like</legend>
          <Area
            label="JSON Schema 2020-12"
            value={draft.schema}
            className="mono"
            rows={Math.min(16, Math.max(4, draft.schema.split('\n').length + 1))}
            placeholder={'{"type": "object", "required": ["id"]}'}
            help="Empty: nothing is checked"
            fault={schema.fault ?? faultOf(problem, '/schema')}
            onChange={(text) => set({ schema: text })}
          />
        </fieldset>
        <Outcome of={saving} placed={placed} />
        <footer>
          <button type="submit" className="primary" disabled={saving.isRunning || schema.fault !== undefined}>
            {saving.isRunning ? 'Saving…' : type ? 'Save' : 'Create the type'}
          </button>
          {!type && (
            <button type="button" onClick={() => go(href('/types'))}>
              Cancel
            </button>
          )}
          <span className="grow" />
          {type && (
            <button type="button" className="danger" disabled={saving.isRunning} onClick={() => ask(true)}>
              Delete…
            </button>
          )}
        </footer>
      </form>
      {isAsked && type && (
        <Confirm
          title={`Say nothing about ${type.type} any more?`}
          text="Its notices need a text of their own then, and its data is not checked. Events that were published stay as they are."
          action="Delete the type"
          run={() => void remove()}
          close={() => ask(false)}
        />
      )}
    </Panel>
  )
}
