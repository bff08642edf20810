// How many events were there, hour by hour or day by day? Bars of now, a line of the time before, and the same as a table.

import { type PointerEvent, useState } from 'react'
import { compact, number } from '../../format.js'
import { Table } from '../../parts/table.js'
import type { Row } from './shapes.js'

const HEIGHT = 100

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** In UTC, as the counts are. */
export function timeOf(key: string | null, by: string): string {
  const at = new Date(key ?? '')
  if (Number.isNaN(at.getTime())) return '–'
  const day = `${at.getUTCDate()} ${months[at.getUTCMonth()]}`
  return by === 'day' ? day : `${day}, ${`${at.getUTCHours()}`.padStart(2, '0')}:00`
}

/** A number a little above the most, that is easy to read. */
function topOf(most: number): number {
  const size = 10 ** Math.floor(Math.log10(Math.max(most, 1)))
  return [1, 2, 3, 4, 5, 6, 8, 10].map((n) => n * size).find((top) => top >= most) ?? most
}

export function Times({ rows, by, range }: { rows: readonly Row[]; by: string; range: string }) {
  const [at, setAt] = useState<number | null>(null)
  const top = Math.max(4, topOf(Math.max(...rows.flatMap(({ count, previous = 0 }) => [count, previous]), 1)))
  const y = (value: number) => HEIGHT - (value / top) * HEIGHT
  const step = by === 'day' ? 'day' : 'hour'
  const point = ({ currentTarget, clientX }: PointerEvent<SVGSVGElement>) => {
    const box = currentTarget.getBoundingClientRect()
    setAt(Math.min(rows.length - 1, Math.max(0, Math.floor(((clientX - box.left) / box.width) * rows.length))))
  }
  const before = rows.map(({ previous = 0 }, n) => `${n === 0 ? 'M' : 'L'}${n * 10 + 5} ${y(previous)}`).join('')
  const shown = at === null ? undefined : rows[at]
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (rows.length - 1)))
  return (
    <>
      <p className="legend times-legend">
        <span>
          <i className="bar-key" /> Events
        </span>
        <span>
          <i data-series="2" /> The time before
        </span>
        <span className="grow" />
        <span aria-live="off">
          {shown && (
            <>
              {timeOf(shown.key, by)} UTC: <b>{number(shown.count)}</b> events, <b>{number(shown.people)}</b> people, before{' '}
              <b>{number(shown.previous)}</b>
            </>
          )}
        </span>
      </p>
      <div className="times">
        <div className="times-scale" aria-hidden="true">
          <span>{compact(top)}</span>
          <span>{compact(top / 2)}</span>
          <span>0</span>
        </div>
        <svg
          viewBox={`0 0 ${rows.length * 10} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Events of each ${step}, ${range}; the same numbers are in the table below`}
          onPointerMove={point}
          onPointerLeave={() => setAt(null)}
        >
          <path className="grid" d={`M0 ${HEIGHT / 2}H${rows.length * 10}M0 0.5H${rows.length * 10}`} />
          {rows.map((row, n) => (
            <rect
              key={row.key ?? n}
              className={n === at ? 'is' : undefined}
              x={n * 10 + 1}
              width={8}
              y={y(row.count)}
              height={HEIGHT - y(row.count)}
            />
          ))}
          <path className="before" d={before} />
        </svg>
        <div className="times-axis" aria-hidden="true">
          {[...new Set(ticks)].map((n) => (
            <span key={n}>{timeOf(rows[n]?.key ?? null, by)}</span>
          ))}
        </div>
      </div>
      <details className="times-table">
        <summary>The same as a table</summary>
        <Table
          label={`Events of each ${step}`}
          rows={rows}
          id={(row) => row.key ?? ''}
          columns={[
            { name: step === 'day' ? 'Day (UTC)' : 'Hour (UTC)', cell: (row) => timeOf(row.key, by) },
            { name: 'Events', isNumber: true, cell: (row) => number(row.count) },
            { name: 'Before', isNumber: true, cell: (row) => number(row.previous) },
            { name: 'People', isNumber: true, cell: (row) => number(row.people) },
          ]}
        />
      </details>
    </>
  )
}
