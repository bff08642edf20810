// How much does a tenant use now, and how near is that to its limits?

import type { Asked } from '../../ask.js'
import { compact, number, rate } from '../../format.js'
import { Icon } from '../../icons.js'
import { Figure, Figures } from '../../parts/figure.js'
import { Answer } from '../../parts/states.js'
import type { Limits, Use } from './shapes.js'

export function Usage({ of, limits }: { of: Asked<Use>; limits: Limits | undefined }) {
  return (
    <Answer of={of} what="what is used">
      {(now) => (
        <>
          {now.stale && (
            <p className="note warn" role="status">
              <Icon name="warn" /> Redis is away: these are the last numbers that were known. Each gateway holds its share of the
              limits meanwhile.
            </p>
          )}
          <Figures label="In use now">
            <Figure
              name="Connections"
              value={compact(now.connections)}
              under={<Share now={now.connections} limit={limits?.connections} what="connections" />}
              to="/inspect"
            />
            <Figure
              name="Events"
              value={rate(now.events_per_second)}
              unit="/s"
              under={<Share now={now.events_per_second} limit={limits?.events_per_second} what="events a second" />}
            />
            {now.notices_today !== undefined && (
              <Figure
                name="Notices"
                value={number(now.notices_today)}
                under={<Share now={now.notices_today} limit={limits?.notices_per_day} what="notices a day" />}
              />
            )}
            <Figure name="Delivered" value={rate(now.deliveries_per_second)} unit="/s" under="frames" />
            <Figure name="Subscriptions" value={compact(now.subscriptions)} under="in channels" />
            <Figure
              name="Gateways"
              value={number(now.nodes.length)}
              under={now.nodes.map((node) => node.node).join(', ') || 'none'}
            />
          </Figures>
        </>
      )}
    </Answer>
  )
}

function Share({ now, limit, what }: { now: number | null; limit: number | null | undefined; what: string }) {
  if (!limit) return 'no limit'
  const share = Math.min(1, (now ?? 0) / limit)
  return (
    <>
      <span className="meter" data-tone={share >= 0.95 ? 'bad' : share >= 0.8 ? 'warn' : 'good'} aria-hidden="true">
        <span style={{ inlineSize: `${share * 100}%` }} />
      </span>
      {Math.round(share * 100)} % of {number(limit)}
      <span className="hidden"> {what}</span>
    </>
  )
}
