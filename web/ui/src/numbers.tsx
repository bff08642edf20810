// How much goes on, in numbers?

import { type AnalyticsQuery, type RepeatOptions, useAnalytics, useStats } from '@carillon/react'
import { useId, useState } from 'react'
import { type LookProps, type Used, useLook } from './look.js'

/** A card with a number. */
export interface Card {
  label: string
  value: number | string | null
  /** What it was before, for the change in percent. */
  before?: number
}

/** Which numbers are shown. */
export interface StatCardsProps extends LookProps, RepeatOptions {
  /** Cards of yours; default: those of `GET /v1/stats`. */
  cards?: readonly Card[]
}

function Cards({ cards, look }: { cards: readonly Card[]; look: Used }) {
  return (
    <dl className="crln-cards">
      {cards.map(({ label, value, before }) => (
        <div key={label} className="crln-card">
          <dt>{label}</dt>
          <dd>
            {typeof value === 'number' ? look.number(value) : (value ?? '–')}
            {typeof value === 'number' && before !== undefined && before > 0 && (
              <Change now={value} before={before} look={look} />
            )}
          </dd>
        </div>
      ))}
    </dl>
  )
}

function Change({ now, before, look: { t } }: { now: number; before: number; look: Used }) {
  const text = ((now - before) / before).toLocaleString(t.locale, { style: 'percent', signDisplay: 'exceptZero' })
  return (
    <span className="crln-change" data-up={now > before || undefined} dir="ltr">
      {text}
    </span>
  )
}

/** Connections and rates, now; or numbers of yours. */
export function StatCards({ cards, every, ...own }: StatCardsProps) {
  return cards ? <OwnCards cards={cards} {...own} /> : <ServiceCards every={every} {...own} />
}

function OwnCards({ cards, ...own }: LookProps & { cards: readonly Card[] }) {
  const look = useLook(own)
  return (
    <div {...look.root('stats')}>
      <Cards cards={cards} look={look} />
    </div>
  )
}

function ServiceCards({ every, ...own }: LookProps & { every: number | null | undefined }) {
  const look = useLook(own)
  const { t } = look
  const { value, status } = useStats(every === undefined ? {} : { every })
  return (
    <div {...look.root('stats')}>
      <Cards
        look={look}
        cards={[
          { label: t.connections, value: value?.connections ?? null },
          { label: t.subscriptions, value: value?.subscriptions ?? null },
          { label: t.eventsPerSecond, value: value?.events_per_second ?? null },
          { label: t.deliveriesPerSecond, value: value?.deliveries_per_second ?? null },
        ]}
      />
      {(status === 'failed' || value?.stale) && <p className="crln-note">{value ? t.stale : t.failed}</p>}
    </div>
  )
}

const groups = ['type', 'source', 'actor', 'priority', 'hour', 'day'] as const

/** What the dashboard may be told. */
export interface AnalyticsDashboardProps extends LookProps, RepeatOptions {
  /** What is shown first. Default `{ by: 'type' }`. */
  query?: AnalyticsQuery
}

/** How many events there were, by what they say or over time, beside the period before. */
export function AnalyticsDashboard({ query = {}, every, ...own }: AnalyticsDashboardProps) {
  const look = useLook(own)
  const { t, number } = look
  const id = useId()
  const [by, setBy] = useState(query.by ?? 'type')
  const { value, status, reload } = useAnalytics({ compare: 'previous', ...query, by }, every === undefined ? {} : { every })
  const isTime = by === 'hour' || by === 'day'
  const top = Math.max(1, ...(value?.rows.map((row) => row.count) ?? []))
  const nameOf = (key: string | null) => {
    if (key === null) return t.others
    if (!isTime) return key
    return new Date(key).toLocaleString(t.locale, by === 'hour' ? { weekday: 'short', hour: 'numeric' } : { dateStyle: 'medium' })
  }
  return (
    <section {...look.root('analytics')} aria-labelledby={`${id}h`}>
      <div className="crln-row crln-head">
        <h2 id={`${id}h`}>{t.analytics}</h2>
        <label htmlFor={`${id}b`}>{t.groupBy}</label>
        <select id={`${id}b`} className="crln-button" value={by} onChange={(event) => setBy(event.target.value as typeof by)}>
          {groups.map((name) => (
            <option key={name} value={name}>
              {t[name]}
            </option>
          ))}
        </select>
      </div>
      {!value ? (
        <p className="crln-empty">
          {status === 'failed' ? t.failed : t.loading}{' '}
          {status === 'failed' && (
            <button type="button" className="crln-button" onClick={() => void reload()}>
              {t.retry}
            </button>
          )}
        </p>
      ) : (
        <>
          <Cards
            look={look}
            cards={[
              { label: t.events, value: value.events, ...(value.previous && { before: value.previous.events }) },
              { label: t.people, value: value.people, ...(value.previous && { before: value.previous.people }) },
            ]}
          />
          {isTime && (
            <svg
              className="crln-chart"
              viewBox={`0 0 ${Math.max(1, value.rows.length) * 10} 40`}
              preserveAspectRatio="none"
              aria-hidden="true"
            >
              {value.rows.map(({ key, count }, at) => (
                <rect key={key} x={at * 10 + 1} width={8} y={40 - (38 * count) / top} height={(38 * count) / top} />
              ))}
            </svg>
          )}
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled with the keyboard */}
          <section className="crln-scroll" aria-label={t[by]} tabIndex={0}>
            <table className="crln-table">
              <thead>
                <tr>
                  <th scope="col">{t[by]}</th>
                  <th scope="col">{t.events}</th>
                  {value.previous && <th scope="col">{t.before}</th>}
                </tr>
              </thead>
              <tbody>
                {value.rows.map((row) => (
                  <tr key={row.key}>
                    <th scope="row">{nameOf(row.key)}</th>
                    <td>
                      {!isTime && <meter className="crln-meter" min={0} max={top} value={row.count} aria-hidden="true" />}
                      {number(row.count)}
                    </td>
                    {value.previous && <td>{row.previous === undefined ? '–' : number(row.previous)}</td>}
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
          {status === 'failed' && <p className="crln-note">{t.stale}</p>}
        </>
      )}
    </section>
  )
}
