// How is a notice written, looked at, and sent?

import { type FormEvent, useRef, useState } from 'react'
import { call } from '../../api.js'
import { number } from '../../format.js'
import { useAct } from '../../parts/act.js'
import { Outcome } from '../../parts/outcome.js'
import { Panel } from '../../parts/page.js'
import { go, href } from '../../route.js'
import { useMay } from '../../session.js'
import { readJson } from '../types/shapes.js'
import { bodyOf, type Draft, type DryRun, fresh } from './draft.js'
import { Audience, Details, Escalate, placesOf, Text } from './parts.js'
import { Review } from './review.js'

export function Composer({ tenant, changed }: { tenant: string; changed: () => void }) {
  const may = useMay('publish')
  const [draft, setDraft] = useState<Draft>(fresh)
  const [review, setReview] = useState<DryRun['events'][number] | null>(null)
  const checking = useAct()
  const sending = useAct()
  /** A repeat of the same notice is recognised by it, so that an answer that was lost makes no second one. */
  const key = useRef({ body: '', text: '' })
  const problem = sending.problem ?? checking.problem
  const data = readJson(draft.data)
  const change = (values: Partial<Draft>) => {
    setDraft((before) => ({ ...before, ...values }))
    setReview(null)
    checking.clear()
    sending.clear()
  }
  const body = () => bodyOf(draft, data.value)
  const check = async (event: FormEvent) => {
    event.preventDefault()
    sending.clear()
    await checking.run(async () => {
      const tried = await call<DryRun>('POST', '/v1/dry-runs/notices', { query: { tenant }, body: body() })
      setReview(tried.body.events[0] ?? null)
      return undefined
    })
  }
  const send = async () => {
    const text = JSON.stringify(body())
    if (key.current.body !== text) key.current = { body: text, text: crypto.randomUUID() }
    let id = ''
    const done = await sending.run(async () => {
      const headers = { 'idempotency-key': key.current.text }
      id = (await call<{ id: string }>('POST', '/v1/notices', { query: { tenant }, headers, body: body() })).body.id
      return undefined
    })
    if (!done) return setReview(null)
    changed()
    go(href('/notices', { notice: id }), { replace: true })
  }
  const act = sending.problem ? sending : checking
  return (
    <Panel title="New notice">
      <form className="form" aria-label="New notice" onSubmit={(event) => void check(event)}>
        <fieldset disabled={!may}>
          <Text tenant={tenant} draft={draft} problem={problem} dataFault={data.fault ?? null} change={change} />
        </fieldset>
        <fieldset disabled={!may}>
          <Audience draft={draft} problem={problem} change={change} />
        </fieldset>
        <fieldset disabled={!may}>
          <Details draft={draft} problem={problem} change={change} />
        </fieldset>
        <fieldset disabled={!may}>
          <Escalate draft={draft} problem={problem} change={change} />
        </fieldset>
        <Outcome of={act} placed={placesOf(draft)} />
        {review && <Review of={review} />}
        <footer>
          {review ? (
            <button type="button" className="primary" disabled={!may || sending.isRunning} onClick={() => void send()}>
              {sending.isRunning ? 'Sending…' : sendTo(review.audience)}
            </button>
          ) : (
            <button type="submit" className="primary" disabled={!may || checking.isRunning || data.fault !== undefined}>
              {checking.isRunning ? 'Checking…' : 'Check and preview'}
            </button>
          )}
          <button type="button" onClick={() => go(href('/notices'))}>
            Cancel
          </button>
          {!review && <span className="help">Nothing is sent yet.</span>}
        </footer>
      </form>
    </Panel>
  )
}

function sendTo(audience: DryRun['events'][number]['audience']): string {
  if (!audience) return 'Send'
  const { people, complete } = audience
  if (people === 0) return 'Send all the same'
  return `Send to ${complete ? '' : 'at least '}${number(people)} ${people === 1 ? 'person' : 'people'}`
}
