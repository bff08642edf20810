// Where is a tenant's application asked about channels whose rule says `ask`, and how does it know that it is we who ask?

import { type FormEvent, useState } from 'react'
import { ago, dateTime } from '../../format.js'
import { useAct } from '../../parts/act.js'
import { Confirm } from '../../parts/dialog.js'
import { faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Badge, Facts, Panel } from '../../parts/page.js'
import { Secret } from '../../parts/secret.js'
import { Link } from '../../route.js'
import { type Settings, set } from './shapes.js'

export function Application({ of, changed }: { of: Settings; changed: (settings: Settings) => void }) {
  const [url, setUrl] = useState(of.authorize_url ?? '')
  const [secret, setSecret] = useState<string | null>(null)
  const [isRotating, setRotating] = useState(false)
  const act = useAct()
  const put = (body: object, done: string) =>
    void act.run(async () => {
      const answer = await set(of.tenant, body)
      setUrl(answer.authorize_url ?? '')
      if (answer.authorize_secret) setSecret(answer.authorize_secret)
      changed(answer)
      return done
    })
  const save = (event: FormEvent) => {
    event.preventDefault()
    const next = url.trim() || null
    put(
      { authorize_url: next },
      next ? 'It is asked there from now on; verdicts that were given are forgotten.' : 'Nothing is asked any more.',
    )
  }
  const until = of.authorize_secret_before_until
  return (
    <Panel
      title="Application"
      note="asked where a channel rule says ask"
      actions={
        <>
          {of.authorize_url ? <Badge tone="good">Set</Badge> : <Badge>Not set</Badge>}
          <Link to="/audit" with={{ action: 'application' }}>
            History
          </Link>
        </>
      }
    >
      <form className="form" onSubmit={save}>
        <Field
          label="URL"
          type="url"
          value={url}
          onChange={setUrl}
          placeholder="https://app.example/carillon/authorize"
          help="https, to a public address. Empty: nothing is asked, and rules that say ask let nobody in."
          fault={faultOf(act.problem, '/authorize_url')}
        />
        {until && (
          <Facts
            of={[
              [
                'Secret before',
                <span key="until" title={dateTime(until)}>
                  signs, too, and ends {ago(until)}
                </span>,
              ],
            ]}
          />
        )}
        <Outcome of={act} placed={['/authorize_url']} />
        <div className="row end">
          <button type="button" disabled={!of.authorize_url || act.isRunning} onClick={() => setRotating(true)}>
            New secret
          </button>
          <button type="submit" className="primary" disabled={act.isRunning || url.trim() === (of.authorize_url ?? '')}>
            Save URL
          </button>
        </div>
      </form>
      {secret && (
        <Secret name="secret" title="Questions are signed with this secret" secret={secret} close={() => setSecret(null)}>
          <p className="help">Libraries for Standard Webhooks verify a question with it.</p>
        </Secret>
      )}
      {isRotating && (
        <Confirm
          title="Make a new secret?"
          text="Questions are signed with both for 24 hours. Set the new one in the application within that time."
          action="Make a new secret"
          close={() => setRotating(false)}
          run={() => put({ rotate_authorize_secret: true }, 'A new secret signs from now on.')}
        />
      )}
    </Panel>
  )
}
