// Where are events sent, and which? A webhook is set by it whole.

import { type FormEvent, useState } from 'react'
import { call } from '../../api.js'
import { useAct } from '../../parts/act.js'
import { Check } from '../../parts/area.js'
import { entriesOf, faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Panel } from '../../parts/page.js'
import { go, href } from '../../route.js'
import type { MadeSecret } from './index.js'
import { pathOf, type Webhook } from './shapes.js'

const places = ['/url', '/types', '/channels', '/secret', '/ordered']

interface FormProps {
  readonly tenant: string
  readonly hook: Webhook | null
  readonly changed: () => void
  readonly show: (secret: MadeSecret) => void
}

export function Form({ tenant, hook, changed, show }: FormProps) {
  const [draft, setDraft] = useState({
    id: hook?.id ?? '',
    url: hook?.url ?? '',
    types: hook?.types.join(', ') ?? '',
    channels: hook?.channels.join(', ') ?? '',
    ordered: hook?.ordered ?? true,
    secret: '',
  })
  const saving = useAct()
  const { problem } = saving
  const set = (values: Partial<typeof draft>) => {
    setDraft((before) => ({ ...before, ...values }))
    if (saving.done) saving.clear()
  }
  const save = async (event: FormEvent) => {
    event.preventDefault()
    const id = draft.id.trim()
    const done = await saving.run(async () => {
      const body = {
        url: draft.url.trim(),
        types: entriesOf(draft.types),
        channels: entriesOf(draft.channels),
        ordered: draft.ordered,
        ...(draft.secret.trim() && { secret: draft.secret.trim() }),
      }
      const answer = await call<Webhook>('PUT', pathOf(id), { query: { tenant }, body })
      // A secret of one's own is known already.
      if (answer.body.secret && !body.secret) show({ webhook: id, text: answer.body.secret })
      return 'Saved. It goes on where it is.'
    })
    if (!done) return
    setDraft((before) => ({ ...before, secret: '' }))
    changed()
    if (!hook) go(href('/webhooks', { webhook: id }), { replace: true })
  }
  return (
    <Panel title={hook ? 'What it is set to' : 'New webhook'} note={!hook && 'It begins where the log ends'}>
      <form className="form" aria-label={hook ? `Webhook ${hook.id}` : 'New webhook'} onSubmit={(event) => void save(event)}>
        <fieldset>
          <div className="fields wide">
            {!hook && (
              <Field
                label="Name"
                value={draft.id}
                required
                placeholder="billing"
                help="1–64 of A–Z a–z 0–9 _ . -"
                fault={faultOf(problem, 'webhook')}
                onChange={(id) => set({ id })}
              />
            )}
            <Field
              label="URL"
              value={draft.url}
              required
              className="mono"
              inputMode="url"
              placeholder="https://app.example/carillon"
              fault={faultOf(problem, '/url')}
              onChange={(url) => set({ url })}
            />
            <Field
              label="Types"
              value={draft.types}
              className="mono"
              placeholder="all types"
              help="With commas between; a * at the end stands for the rest"
              fault={faultOf(problem, '/types')}
              onChange={(types) => set({ types })}
            />
            <Field
              label="Channels"
              value={draft.channels}
              className="mono"
              placeholder="all channels"
              help="order:*, with commas between"
              fault={faultOf(problem, '/channels')}
              onChange={(channels) => set({ channels })}
            />
            <Field
              label="A secret of your own"
              value={draft.secret}
              className="mono"
              placeholder={hook ? 'it keeps the one it has' : 'one is made'}
              help="whsec_ and base64 of 24 to 64 bytes"
              fault={faultOf(problem, '/secret')}
              onChange={(secret) => set({ secret })}
            />
          </div>
          <Check
            label="In order"
            help="An event is sent when the one before was delivered. Otherwise up to 32 at a time, in any order."
            value={draft.ordered}
            fault={faultOf(problem, '/ordered')}
            onChange={(ordered) => set({ ordered })}
          />
        </fieldset>
        <Outcome of={saving} placed={hook ? places : [...places, 'webhook']} />
        <footer>
          <button type="submit" className={hook ? '' : 'primary'} disabled={saving.isRunning}>
            {saving.isRunning ? 'Saving…' : hook ? 'Save' : 'Create the webhook'}
          </button>
          {!hook && (
            <button type="button" onClick={() => go(href('/webhooks'))}>
              Cancel
            </button>
          )}
        </footer>
      </form>
    </Panel>
  )
}
