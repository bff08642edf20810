// How many events were there, of what, when and by whom, and is that more than before?

import { useAsk } from '../../ask.js'
import { compact, number, rate } from '../../format.js'
import { Icon } from '../../icons.js'
import { Field, Select } from '../../parts/fields.js'
import { Figure, Figures } from '../../parts/figure.js'
import { Badge, Page, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Link, useParams } from '../../route.js'
import { useChosenTenant } from '../../tenant.js'
import '../../parts/list.css'
import './analytics.css'
import { Breakdown, Change } from './breakdown.js'
import { csv, download } from './csv.js'
import { type Counts, counts, type Dimension, dimensions, rangeOf, ranges } from './shapes.js'
import { Times, timeOf } from './times.js'

/** Beyond so many days a bar is a day. */
const MOST_DAYS_OF_HOURS = 7

export default function Analytics() {
  const tenant = useChosenTenant()
  const [query, change] = useParams()
  const by = dimensions.find(([name]) => name === query.get('by'))?.[0] ?? 'type'
  const step = ['hour', 'day'].find((name) => name === query.get('step'))
  const chosen = ranges.find(([name]) => name === query.get('range')) ?? ranges[0]
  const range = rangeOf(query)
  const isByHour = (step ?? (range.days <= MOST_DAYS_OF_HOURS ? 'hour' : 'day')) === 'hour' && range.days <= 31
  const unit = isByHour ? 'hour' : 'day'
  const key = `${tenant} ${chosen[0]} ${range.from} ${range.to}`
  const times = useAsk(`times ${key} ${unit}`, (signal) => counts(unit, range, signal), { every: 30_000 })
  const most = useAsk(`most ${key} ${by}`, (signal) => counts(by, range, signal), { every: 30_000 })
  const file = (what: string, of: Counts) => `carillon-${tenant}-${what}-${of.from.slice(0, 10)}-${of.to.slice(0, 10)}.csv`
  const saveTimes = (of: Counts) =>
    download(
      file(`events-by-${unit}`, of),
      csv([[unit, 'events', 'before', 'people'], ...of.rows.map((row) => [row.key, row.count, row.previous, row.people])]),
    )
  const saveMost = (of: Counts) =>
    download(
      file(`events-by-${by}`, of),
      csv([[by, 'events', 'before'], ...of.rows.map((row) => [row.key, row.count, row.previous])]),
    )
  return (
    <Page
      title="Analytics"
      lead={`What was published for ${tenant}, counted once from its log. Hours and days are those of UTC.`}
      actions={times.value && <Lag of={times.value} />}
    >
      <div className="toolbar alone-bar">
        <Select
          label="Time"
          value={chosen[0]}
          options={ranges}
          onChange={(name) => change({ range: name === '1' ? null : name, from: null, to: null, step: null })}
        />
        {chosen[0] === 'own' && (
          <>
            <Field label="From" type="date" value={query.get('from') ?? ''} onChange={(from) => change({ from })} />
            <Field label="To" type="date" value={query.get('to') ?? ''} onChange={(to) => change({ to })} />
          </>
        )}
        <Select
          label="Each bar is"
          value={unit}
          options={[
            ['hour', 'An hour'],
            ['day', 'A day'],
          ]}
          onChange={(name) => change({ step: name })}
        />
      </div>
      <Answer of={times} what="the numbers">
        {(of) => (
          <>
            <Summary of={of} unit={unit} />
            <Panel
              title={isByHour ? 'Events of each hour' : 'Events of each day'}
              note={step === 'hour' && !isByHour ? 'up to 31 days can be shown by hours' : undefined}
              actions={
                <button type="button" onClick={() => saveTimes(of)} aria-label={`Events of each ${unit} as CSV`}>
                  CSV
                </button>
              }
            >
              <Times rows={of.rows} by={unit} range={chosen[1].toLowerCase()} />
            </Panel>
          </>
        )}
      </Answer>
      <Panel
        title="By what they say"
        flush
        actions={
          <>
            <fieldset className="choice">
              <legend className="hidden">By</legend>
              {dimensions.map(([name, label]) => (
                <label key={name}>
                  <input
                    type="radio"
                    name="by"
                    checked={by === name}
                    onChange={() => change({ by: name === 'type' ? null : name })}
                  />
                  {label}
                </label>
              ))}
            </fieldset>
            <button
              type="button"
              disabled={!most.value?.rows.length}
              onClick={() => most.value && saveMost(most.value)}
              aria-label={`Events by ${by} as CSV`}
            >
              CSV
            </button>
          </>
        }
      >
        <Answer of={most} what={`events by ${by}`}>
          {(of) => (of.rows.length > 0 ? <Breakdown of={of} by={by} /> : <Nothing by={by} total={of.events} />)}
        </Answer>
      </Panel>
    </Page>
  )
}

function Nothing({ by, total }: { by: Dimension; total: number }) {
  if (total > 0) return <Empty title={`No event says its ${by}`}>There were {number(total)} events in this time.</Empty>
  return (
    <Empty title="Nothing was published in this time">
      Choose a longer one, or <Link to="/tail">watch the live tail</Link>.
    </Empty>
  )
}

function Summary({ of, unit }: { of: Counts; unit: string }) {
  const busiest = of.rows.reduce((best, row) => (row.count > best.count ? row : best), { key: null as string | null, count: 0 })
  const { previous } = of
  return (
    <Figures label="In this time">
      <Figure
        name="Events"
        value={compact(of.events)}
        under={
          <>
            <Change now={of.events} before={previous?.events} /> from {number(previous?.events)}
          </>
        }
      />
      <Figure
        name="People"
        value={`${compact(of.people)}${of.more_people ? '+' : ''}`}
        under={
          <>
            <Change now={of.people} before={previous?.people} /> from {number(previous?.people)}
          </>
        }
      />
      <Figure
        name={`Busiest ${unit}`}
        value={compact(busiest.count)}
        under={busiest.key ? `${timeOf(busiest.key, unit)} UTC` : 'nothing yet'}
      />
      <Figure
        name={`Events an ${unit}`.replace('an day', 'a day')}
        value={of.rows.length ? rate(of.events / of.rows.length) : '–'}
        under="on average"
      />
    </Figures>
  )
}

/** Counts come a little later than events. */
function Lag({ of: { behind } }: { of: Counts }) {
  if (behind.events === 0) return <Badge tone="good">Up to date</Badge>
  if (behind.seconds < 10) return <Badge>{number(behind.events)} events to count</Badge>
  return (
    <span className="note warn">
      <Icon name="warn" /> {number(behind.events)} events are not counted yet, the oldest {Math.round(behind.seconds)} s old.
    </span>
  )
}
