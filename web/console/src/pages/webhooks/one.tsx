// How is one webhook doing, and what can be done with it?

import { type FormEvent, useState } from 'react'
import { call } from '../../api.js'
import { ago, dateTime, milliseconds, number } from '../../format.js'
import { useAct } from '../../parts/act.js'
import { Confirm, Dialog } from '../../parts/dialog.js'
import { faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import { Figure, Figures } from '../../parts/figure.js'
import { Outcome } from '../../parts/outcome.js'
import { Badge, Facts, Panel } from '../../parts/page.js'
import { go, href } from '../../route.js'
import type { MadeSecret } from './index.js'
import { conditionOf, pathOf, type Tested, type Webhook } from './shapes.js'

interface OneProps {
  readonly tenant: string
  readonly hook: Webhook
  readonly changed: () => void
  readonly show: (secret: MadeSecret) => void
}

/** A test takes as long as the endpoint: 15 s at most. */
const TEST_MS = 25_000

export function One({ tenant, hook, changed, show }: OneProps) {
  const [asked, ask] = useState<'rotate' | 'replay' | 'delete' | null>(null)
  const [tested, setTested] = useState<Tested | null>(null)
  const acting = useAct()
  const { tone, word, words } = conditionOf(hook)
  const post = <Body,>(action: string, body: unknown = {}) =>
    call<Body>('POST', pathOf(hook.id, `/${action}`), { query: { tenant }, body, timeout: TEST_MS })
  const act = async (work: () => Promise<string | undefined>) => {
    setTested(null)
    const done = await acting.run(work)
    changed()
    return done
  }
  const test = () =>
    act(async () => {
      setTested((await post<Tested>('test')).body)
      return undefined
    })
  const rotate = () =>
    act(async () => {
      const { body } = await post<Webhook>('rotate')
      if (body.secret) show({ webhook: hook.id, text: body.secret })
      return 'It has a new secret. For 24 hours the one before signs, too.'
    })
  const remove = async () => {
    const done = await act(async () => {
      await call('DELETE', pathOf(hook.id), { query: { tenant } })
      return undefined
    })
    if (done) go(href('/webhooks'))
  }
  const isOff = hook.state === 'disabled'
  const toggle = () =>
    act(async () => {
      await post(isOff ? 'enable' : 'disable')
      return isOff ? 'It is enabled, and goes on where it was.' : 'It is disabled: nothing is sent until it is enabled.'
    })
  const cannot = acting.isRunning
  return (
    <Panel title={hook.id} note={<Badge tone={tone}>{word}</Badge>}>
      <div className="form">
        <p>{words}</p>
        <Figures label="Deliveries">
          <Figure name="Behind" value={number(hook.behind)} under="events of the log" />
          <Figure name="Retrying" value={number(hook.retrying)} under="sent again later" />
          <Figure name="Parked" value={number(hook.parked)} under="until sent by hand" />
          <Figure
            name="Delivered last"
            value={hook.delivered_at ? ago(hook.delivered_at) : '–'}
            under={hook.delivered_at ? dateTime(hook.delivered_at) : 'nothing yet'}
          />
        </Figures>
        <Facts
          of={[
            ['URL', <code key="url">{hook.url}</code>],
            ['Cursor', `event ${number(hook.seq)} of history ${hook.epoch}`],
            ['Failing since', hook.failing_since && dateTime(hook.failing_since)],
            ['Waits until', hook.waits_until && dateTime(hook.waits_until)],
            ['Old secret signs until', hook.secret_before_until && dateTime(hook.secret_before_until)],
            ['Made', `${dateTime(hook.created_at)}, changed ${ago(hook.changed_at)}`],
          ]}
        />
        {tested && <TestResult of={tested} />}
        <Outcome of={acting} />
        <footer>
          <button type="button" className="primary" disabled={cannot} onClick={() => void test()}>
            {acting.isRunning ? 'Working…' : 'Send a test'}
          </button>
          <button type="button" disabled={cannot} onClick={() => void toggle()}>
            {isOff ? 'Enable' : 'Disable'}
          </button>
          <button type="button" disabled={cannot} onClick={() => ask('replay')}>
            Replay…
          </button>
          <button type="button" disabled={cannot} onClick={() => ask('rotate')}>
            Rotate the secret…
          </button>
          <span className="grow" />
          <button type="button" className="danger" disabled={cannot} onClick={() => ask('delete')}>
            Delete…
          </button>
        </footer>
      </div>
      {asked === 'rotate' && (
        <Confirm
          title={`Rotate the secret of ${hook.id}?`}
          text="A new secret is made and shown once. For 24 hours messages are signed with both, so that receivers can change over."
          action="Rotate"
          run={() => void rotate()}
          close={() => ask(null)}
        />
      )}
      {asked === 'delete' && (
        <Confirm
          title={`Delete ${hook.id}?`}
          text="Its cursor and its failed deliveries go with it. A new webhook of this name begins where the log ends."
          action="Delete the webhook"
          run={() => void remove()}
          close={() => ask(null)}
        />
      )}
      {asked === 'replay' && <Replay hook={hook} tenant={tenant} changed={changed} close={() => ask(null)} />}
    </Panel>
  )
}

function TestResult({ of }: { of: Tested }) {
  return (
    <section className="tested" aria-label="What the test came to" role="status">
      <p className={of.delivered ? 'note good' : 'note bad'}>
        {of.delivered
          ? `The endpoint took it: ${of.status}, in ${milliseconds(of.ms)}.`
          : `The endpoint did not take it: ${of.error ?? of.status}, after ${milliseconds(of.ms)}.`}
      </p>
      {of.answer && <pre>{of.answer.slice(0, 2_000)}</pre>}
    </section>
  )
}

function Replay({ hook, tenant, changed, close }: { hook: Webhook; tenant: string; changed: () => void; close: () => void }) {
  const [from, setFrom] = useState('')
  const acting = useAct()
  const send = async (event: FormEvent) => {
    event.preventDefault()
    const done = await acting.run(async () => {
      await call('POST', pathOf(hook.id, '/replay'), { query: { tenant }, body: { from_seq: from.trim() } })
      return undefined
    })
    if (!done) return
    changed()
    close()
  }
  return (
    <Dialog title={`Replay ${hook.id}`} close={close}>
      <form className="form" onSubmit={(event) => void send(event)}>
        <p>
          The cursor is moved: events from this number on are sent, again or for the first time. It is at {number(hook.seq)} now,
          and the log ends at {number(hook.seq + hook.behind)}.
        </p>
        <Field
          label="From event number"
          value={from}
          inputMode="numeric"
          required
          autoFocus
          fault={faultOf(acting.problem, '/from_seq')}
          onChange={setFrom}
        />
        <Outcome of={acting} placed={['/from_seq']} />
        <div className="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={acting.isRunning}>
            Replay
          </button>
        </div>
      </form>
    </Dialog>
  )
}
