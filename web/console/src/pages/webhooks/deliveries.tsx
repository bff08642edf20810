// Which deliveries of a webhook failed, what did the endpoint answer, and when are they sent again?

import { useState } from 'react'
import { call, get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { dateTime, milliseconds, number } from '../../format.js'
import { useAct } from '../../parts/act.js'
import { Select } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Badge, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { type Delivery, due, pathOf } from './shapes.js'

interface Page {
  readonly deliveries: readonly Delivery[]
  readonly next: number | null
}

interface DeliveriesProps {
  readonly tenant: string
  readonly id: string
  /** Asked again when it changes. */
  readonly count: number
  readonly changed: () => void
}

export function Deliveries({ tenant, id, count, changed }: DeliveriesProps) {
  const [state, setState] = useState('')
  const [after, setAfter] = useState<number | null>(null)
  const failed = useAsk(
    `deliveries ${tenant} ${id} ${state} ${after}`,
    (signal) => get<Page>(pathOf(id, '/deliveries'), { signal, query: { tenant, state, after } }),
    // Not another question: whoever reads an answer goes on reading it.
    { every: 5_000, again: count },
  )
  const acting = useAct()
  const retry = async (seq: number) => {
    await acting.run(async () => {
      await call('POST', pathOf(id, `/deliveries/${seq}/retry`), { query: { tenant }, body: {} })
      return `Event ${number(seq)} is sent again now.`
    })
    failed.reload()
    changed()
  }
  return (
    <Panel
      title="Failed deliveries"
      note={number(count)}
      actions={
        <Select
          label="State"
          value={state}
          options={[
            ['', 'All'],
            ['retrying', 'Retrying'],
            ['parked', 'Parked'],
          ]}
          onChange={(next) => {
            setState(next)
            setAfter(null)
          }}
        />
      }
      flush
    >
      <Outcome of={acting} />
      <Answer of={failed} what="the failed deliveries">
        {({ deliveries, next }) =>
          deliveries.length === 0 ? (
            <Empty title={after !== null ? 'There are no more' : state ? `None is ${state}` : 'No delivery has failed'}>
              {after !== null ? (
                <button type="button" onClick={() => setAfter(null)}>
                  To the first
                </button>
              ) : (
                !state && 'What was delivered is in no list: the cursor says it.'
              )}
            </Empty>
          ) : (
            <>
              <ul className="deliveries" aria-label="Failed deliveries">
                {deliveries.map((one) => (
                  <DeliveryLine
                    key={one.seq}
                    of={one}
                    action={
                      <button
                        type="button"
                        disabled={acting.isRunning}
                        aria-label={`Send again: event ${one.seq}`}
                        onClick={() => void retry(one.seq)}
                      >
                        Send again
                      </button>
                    }
                  />
                ))}
              </ul>
              {(next !== null || after !== null) && (
                <p className="row end pager">
                  {after !== null && (
                    <button type="button" onClick={() => setAfter(null)}>
                      To the first
                    </button>
                  )}
                  {next !== null && (
                    <button type="button" onClick={() => setAfter(next)}>
                      More
                    </button>
                  )}
                </p>
              )}
            </>
          )
        }
      </Answer>
    </Panel>
  )
}

function DeliveryLine({ of, action }: { of: Delivery; action: React.ReactNode }) {
  const last = of.attempts.at(-1)
  return (
    <li>
      <div className="row">
        <span className="mono">#{of.seq}</span>
        <Badge tone={of.state === 'parked' ? 'bad' : 'warn'}>{of.state}</Badge>
        <span className="grow">
          {last?.error ?? (last?.status ? `answered ${last.status}` : 'no attempt yet')}
          <small>
            {' '}
            · {number(of.failures)} {of.failures === 1 ? 'failure' : 'failures'}
            {of.next_at ? `, next ${due(of.next_at)}` : ''}
          </small>
        </span>
        {action}
      </div>
      <details>
        <summary>Attempts{of.answer && ' and the last answer'}</summary>
        <ol className="attempts">
          {of.attempts.map((attempt) => (
            <li key={attempt.at}>
              <span className="mono">{dateTime(attempt.at)}</span>
              <Badge tone={attempt.status !== null && attempt.status < 300 ? 'good' : 'bad'}>
                {attempt.status ?? 'no answer'}
              </Badge>
              <span className="grow">{attempt.error}</span>
              <small>{milliseconds(attempt.ms)}</small>
            </li>
          ))}
        </ol>
        {of.answer && <pre>{of.answer.slice(0, 4_000)}</pre>}
      </details>
    </li>
  )
}
