// What does one rule say, and how is that changed?

import { type FormEvent, useState } from 'react'
import { call } from '../../api.js'
import { useAct } from '../../parts/act.js'
import { Check } from '../../parts/area.js'
import { Confirm } from '../../parts/dialog.js'
import { faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Panel } from '../../parts/page.js'
import { go, href } from '../../route.js'
import { type Action, bodyOf, type Draft, draftOf, fresh, type Rule } from './shapes.js'

const lists: readonly (readonly [Action, string])[] = [
  ['subscribe', 'Who may get its events'],
  ['publish', 'Who may publish events'],
  ['signal', 'Who may send signals'],
  ['presence', 'Who sees who is here'],
]
const places = [...lists.map(([action]) => `/${action}`), '/client_types', '/durable', '/typing', '/presence_grace_ms', '/rate']

export function Editor({ tenant, rule, changed }: { tenant: string; rule: Rule | null; changed: () => void }) {
  const [draft, setDraft] = useState<Draft>(() => (rule ? draftOf(rule) : fresh))
  const [isAsked, ask] = useState(false)
  const saving = useAct()
  const set = (values: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...values }))
    if (saving.done) saving.clear()
  }
  const placed = [...places, ...(rule ? [] : ['pattern']), ...(draft.pastAsSubscribe ? [] : ['/history'])]
  const pattern = draft.pattern.trim()
  const path = `/v1/channel-rules/${encodeURIComponent(pattern)}`
  const save = async (event: FormEvent) => {
    event.preventDefault()
    const done = await saving.run(async () => {
      await call('PUT', path, { query: { tenant }, body: bodyOf(draft) })
      return 'Saved. It holds on every node within a second.'
    })
    if (!done) return
    changed()
    if (!rule) go(href('/rules', { pattern }), { replace: true })
  }
  const remove = async () => {
    const done = await saving.run(async () => {
      await call('DELETE', path, { query: { tenant } })
      return undefined
    })
    if (!done) return
    changed()
    go(href('/rules'))
  }
  const { problem } = saving
  return (
    <Panel title={rule ? 'Rule' : 'New rule'} note={rule && <code>{rule.pattern}</code>}>
      <form className="form" aria-label={rule ? `Rule ${rule.pattern}` : 'New rule'} onSubmit={(event) => void save(event)}>
        {rule?.unreadable && (
          <p className="note warn">
            This release cannot read the stored rule, because a newer one wrote it. It gives nobody anything; saving replaces it.
          </p>
        )}
        {!rule && (
          <Field
            label="Pattern"
            value={draft.pattern}
            onChange={(text) => set({ pattern: text })}
            className="mono"
            required
            placeholder="order:{order}"
            fault={faultOf(problem, 'pattern')}
            help={
              <>
                A channel's name. A segment may end with one <code>{'{name}'}</code>, the whole with one <code>*</code>.
              </>
            }
          />
        )}
        <fieldset>
          <legend>Who may</legend>
          <p className="help">
            With commas between: <code>anyone</code>, <code>self</code> (whose id stands at <code>{'{user}'}</code>),{' '}
            <code>role:</code> and a role, <code>ask</code> (the application is asked).
          </p>
          <div className="fields wide">
            {lists.map(([action, label]) => (
              <Field
                key={action}
                label={label}
                value={draft[action]}
                className="mono"
                placeholder="nobody"
                fault={faultOf(problem, `/${action}`)}
                onChange={(text) => set({ [action]: text })}
              />
            ))}
          </div>
          <Check
            label="Who may get its events may read its past"
            value={draft.pastAsSubscribe}
            onChange={(pastAsSubscribe) => set({ pastAsSubscribe })}
          />
          {!draft.pastAsSubscribe && (
            <Field
              label="Who may read its past"
              value={draft.history}
              className="mono"
              placeholder="nobody"
              fault={faultOf(problem, '/history')}
              onChange={(history) => set({ history })}
            />
          )}
        </fieldset>
        <fieldset>
          <legend>What clients send</legend>
          <div className="fields wide">
            <Field
              label="Types they may publish"
              value={draft.client_types}
              className="mono"
              placeholder="every type"
              help="Exact, or with a * at the end"
              fault={faultOf(problem, '/client_types')}
              onChange={(text) => set({ client_types: text })}
            />
            <Field
              label="Events a person may send, per second"
              value={draft.rate}
              inputMode="numeric"
              help="0–1,000; 0 lets nobody send"
              fault={faultOf(problem, '/rate')}
              onChange={(rate) => set({ rate })}
            />
            <Field
              label="Still shown as here after leaving, milliseconds"
              value={draft.presence_grace_ms}
              inputMode="numeric"
              help="0–300,000"
              fault={faultOf(problem, '/presence_grace_ms')}
              onChange={(text) => set({ presence_grace_ms: text })}
            />
          </div>
          <Check
            label="Durable"
            help="What clients publish goes into the log."
            value={draft.durable}
            fault={faultOf(problem, '/durable')}
            onChange={(durable) => set({ durable })}
          />
          <Check
            label="Typing"
            help="Who is typing is passed on to the others."
            value={draft.typing}
            fault={faultOf(problem, '/typing')}
            onChange={(typing) => set({ typing })}
          />
        </fieldset>
        <Outcome of={saving} placed={placed} />
        <footer>
          <button type="submit" className="primary" disabled={saving.isRunning}>
            {saving.isRunning ? 'Saving…' : rule ? 'Save' : 'Create the rule'}
          </button>
          {!rule && (
            <button type="button" onClick={() => go(href('/rules'))}>
              Cancel
            </button>
          )}
          <span className="grow" />
          {rule && (
            <button type="button" className="danger" disabled={saving.isRunning} onClick={() => ask(true)}>
              Delete…
            </button>
          )}
        </footer>
      </form>
      {isAsked && rule && (
        <Confirm
          title={`Delete the rule ${rule.pattern}?`}
          text="Whoever may be in its channels by this rule alone is taken out of them within a second."
          action="Delete the rule"
          run={() => void remove()}
          close={() => ask(false)}
        />
      )}
    </Panel>
  )
}
