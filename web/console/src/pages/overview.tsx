// How is it now? Connections, rates, latency, and what went wrong in the last minute; each number leads to what it counts.

import { lazy, Suspense } from 'react'
import { get } from '../api.js'
import { type Asked, useAsk } from '../ask.js'
import { ago, compact, milliseconds, number, percent, rate } from '../format.js'
import { Icon } from '../icons.js'
import { Figure, Figures } from '../parts/figure.js'
import { Badge, Page, Panel } from '../parts/page.js'
import { Answer, Empty, Loading, Stale, Trouble } from '../parts/states.js'
import { Table } from '../parts/table.js'
import { Link } from '../route.js'
import { type Minute, type NodeNow, type Now, type Sample, useNow } from '../stats.js'
import { useTenant } from '../tenant.js'

const Chart = lazy(() => import('../parts/chart.js'))

export default function Overview() {
  const tenant = useTenant()
  const { now, past, by, problem } = useNow(tenant)
  const health = useAsk(`health ${tenant}`, (signal) => get<Health>('/v1/health', { query: { tenant }, also: [503], signal }), {
    every: 10_000,
  })
  const lead = tenant === null ? 'The whole installation, as its gateways say.' : `What ${tenant} uses of the installation.`
  return (
    <Page title="Overview" lead={lead} actions={now && <Freshness by={by} isOld={now.stale || problem !== null} />}>
      {problem && now && <Stale problem={problem} retry={health.reload} />}
      {now?.stale && (
        <p className="note warn" role="status">
          <Icon name="warn" /> Redis is away: what gateways say cannot be read, and the numbers are the last that were known.
          Events are published and delivered from the log.
        </p>
      )}
      {now ? (
        <Numbers now={now} past={past} tenant={tenant} />
      ) : problem ? (
        <Trouble problem={problem} />
      ) : (
        <Loading what="the numbers" />
      )}
      <div className="columns">
        <HealthPanel health={health} />
        {now && <Nodes nodes={now.nodes} stale={now.stale} />}
      </div>
    </Page>
  )
}

function Freshness({ by, isOld }: { by: 'signals' | 'requests'; isOld: boolean }) {
  if (isOld) return <Badge tone="warn">Old</Badge>
  return (
    <span title={by === 'signals' ? 'Pushed once a second' : 'Asked for every two seconds'}>
      <Badge tone="good">Live</Badge>
    </span>
  )
}

function Numbers({ now, past, tenant }: { now: Now; past: readonly Sample[]; tenant: string | null }) {
  const { minute } = now
  // Of one tenant nobody measures it.
  const latency = tenant === null ? now.latency : undefined
  return (
    <>
      <Figures label="Now">
        <Figure
          name="Connections"
          value={compact(now.connections)}
          under={tenant === null ? `${number(now.nodes.length)} gateways` : `${number(now.subscriptions)} subscriptions`}
        />
        {now.events_per_second !== null && (
          <Figure name="Published" value={rate(now.events_per_second)} unit="/s" under="events into the log" to="/tail" />
        )}
        <Figure name="Delivered" value={rate(now.deliveries_per_second)} unit="/s" under="frames to connections" to="/tail" />
        {latency !== undefined && (
          <Figure
            name="Commit to socket"
            value={latency ? milliseconds(latency.p50_ms) : '–'}
            under={latency ? `p99 ${milliseconds(latency.p99_ms)}` : 'nothing in the last minute'}
          />
        )}
        {minute && <Recent minute={minute} />}
      </Figures>
      <div className="columns">
        <Movement
          title="Events a second"
          label="Events and deliveries a second"
          past={past}
          format={rate}
          of={{
            ...(tenant === null ? {} : { Published: (one: Now) => one.events_per_second }),
            Delivered: (one: Now) => one.deliveries_per_second,
          }}
        />
        <Movement
          title="Connections"
          label="Open connections"
          past={past}
          format={compact}
          of={{ Open: (one) => one.connections }}
        />
        {latency !== undefined && (
          <Movement
            title="Latency"
            label="Milliseconds from commit to socket"
            past={past}
            format={milliseconds}
            of={{ p50: (one) => one.latency?.p50_ms ?? null, p99: (one) => one.latency?.p99_ms ?? null }}
          />
        )}
      </div>
    </>
  )
}

/** What happened in the last minute. */
function Recent({ minute }: { minute: Minute }) {
  const { live, replay, reset } = minute.resumes
  const resumed = live + replay
  const closes = Object.values(minute.closes).reduce((sum, n) => sum + n, 0)
  const reasons = Object.entries(minute.closes)
    .filter(([, n]) => n > 0)
    .sort(([, a], [, b]) => b - a)
    .map(([reason, n]) => `${reason} ${n}`)
    .join(', ')
  return (
    <>
      <Figure
        name="Resumed"
        value={percent(resumed, resumed + reset)}
        under={`${number(resumed)} of ${number(resumed + reset)} in a minute`}
      />
      <Figure
        name="Slow readers"
        value={number(minute.stalled + minute.fell_behind)}
        under="fell behind or were closed, in the last minute"
      />
      <Figure name="Closed" value={number(closes)} under={reasons || 'in the last minute'} />
      <Figure name="Gaps filled" value={number(minute.gaps)} under={`${number(minute.events_repaired)} events from the log`} />
    </>
  )
}

interface MovementProps {
  readonly title: string
  readonly label: string
  readonly past: readonly Sample[]
  readonly format: (value: number) => string
  readonly of: Readonly<Record<string, (now: Now) => number | null>>
}

function Movement({ title, label, past, format, of }: MovementProps) {
  return (
    <Panel title={title} note="last five minutes">
      <Suspense fallback={<Loading what="the chart" />}>
        <Chart
          label={label}
          times={past.map((sample) => sample.at)}
          series={Object.entries(of).map(([name, value]) => ({ name, values: past.map((sample) => value(sample.now)) }))}
          format={format}
        />
      </Suspense>
    </Panel>
  )
}

type Condition = 'up' | 'degraded' | 'down'
interface Part {
  readonly state: Condition
  readonly reasons: readonly { readonly code: string; readonly message: string }[]
}
interface Health {
  readonly state: Condition
  readonly events?: Part & {
    readonly log?: { readonly writable: boolean; readonly answer_ms: number | null; readonly last_commit_took_ms: number | null }
    readonly projectors?: readonly {
      readonly name: string
      readonly behind: { readonly events: number; readonly seconds: number }
    }[]
    readonly outbox?: { readonly waiting: number; readonly parked: number }
    readonly redis?: { readonly up: boolean; readonly down_seconds: number | null }
  }
  readonly websocket?: Part & { readonly nodes?: { readonly alive: number; readonly serving: number } | null }
  readonly reasons?: Part['reasons']
}

const tones = { up: 'good', degraded: 'warn', down: 'bad' } as const
const states = { up: 'Up', degraded: 'Degraded', down: 'Down' } as const

function HealthPanel({ health }: { health: Asked<Health> }) {
  const state = health.value?.state
  return (
    <Panel title="Health" actions={state && <Badge tone={tones[state]}>{states[state]}</Badge>} flush>
      <Answer of={health} what="the health">
        {({ events, websocket, reasons = [] }) => (
          <ul className="health">
            {[...reasons, ...(events?.reasons ?? []), ...(websocket?.reasons ?? [])].map(({ code, message }) => (
              <li key={code}>
                <Badge tone="warn">{code}</Badge> <span className="grow">{message}</span>
              </li>
            ))}
            {events?.log && (
              <HealthLine name="Log" is={events.log.writable}>
                {events.log.writable ? 'takes events' : 'takes no events'}
                {events.log.answer_ms !== null && `, answers in ${milliseconds(events.log.answer_ms)}`}
              </HealthLine>
            )}
            {events?.redis && (
              <HealthLine name="Redis" is={events.redis.up}>
                {events.redis.up
                  ? 'carries events to the gateways'
                  : `away${events.redis.down_seconds === null ? '' : ` for ${Math.round(events.redis.down_seconds)} s`}: events come from the log`}
              </HealthLine>
            )}
            {websocket?.nodes && (
              <HealthLine name="Gateways" is={websocket.nodes.serving > 0}>
                {websocket.nodes.serving} of {websocket.nodes.alive} take connections
              </HealthLine>
            )}
            {events?.projectors?.map(({ name, behind }) => (
              <HealthLine key={name} name={name.replaceAll('_', ' ')} is={behind.seconds < 30}>
                {behind.events === 0
                  ? 'at the end of the log'
                  : `${number(behind.events)} events behind, the oldest ${Math.round(behind.seconds)} s old`}
              </HealthLine>
            ))}
            {events?.outbox && (
              <HealthLine name="Outbox" is={events.outbox.parked === 0}>
                {number(events.outbox.waiting)} waiting, {number(events.outbox.parked)} parked
              </HealthLine>
            )}
          </ul>
        )}
      </Answer>
    </Panel>
  )
}

function HealthLine({ name, is, children }: { name: string; is: boolean; children: React.ReactNode }) {
  return (
    <li>
      <span className="dot" data-tone={is ? 'good' : 'bad'} />
      <b>{name}</b> <span className="grow">{children}</span>
    </li>
  )
}

const nodeTones: Record<string, 'good' | 'warn' | 'plain'> = { serving: 'good', draining: 'warn', evacuating: 'warn' }

function Nodes({ nodes, stale }: { nodes: readonly NodeNow[]; stale: boolean }) {
  const isWhole = nodes.some((node) => node.state !== undefined)
  return (
    <Panel title="Gateways" note={number(nodes.length)} flush>
      {nodes.length === 0 ? (
        <Empty title={stale ? 'It is not known which gateways there are' : 'No gateway has a connection'}>
          {stale ? (
            'They say so in Redis, which is away.'
          ) : (
            <>
              Connect one: <Link to="/tail">open the live tail</Link>.
            </>
          )}
        </Empty>
      ) : (
        <Table
          label="Gateways"
          rows={nodes}
          id={(node) => node.node}
          columns={[
            {
              name: 'Node',
              cell: (node) => (
                <span className="node">
                  <span className="mono">{node.node}</span>
                  {node.version && (
                    <small>
                      {node.version}
                      {node.started_at && `, started ${ago(node.started_at)}`}
                    </small>
                  )}
                </span>
              ),
            },
            ...(isWhole
              ? [
                  {
                    name: 'State',
                    cell: (node: NodeNow) => <Badge tone={nodeTones[node.state ?? ''] ?? 'plain'}>{node.state ?? '–'}</Badge>,
                  },
                ]
              : []),
            { name: 'Connections', isNumber: true, cell: (node) => number(node.connections) },
            { name: 'Events /s', isNumber: true, cell: (node) => rate(node.events_per_second) },
            { name: 'Deliveries /s', isNumber: true, cell: (node) => rate(node.deliveries_per_second) },
            ...(isWhole ? [{ name: 'p99', isNumber: true, cell: (node: NodeNow) => milliseconds(node.latency?.p99_ms) }] : []),
          ]}
        />
      )}
    </Panel>
  )
}
