// Of what were there most, and is that more than before?

import { number, percent } from '../../format.js'
import { Table } from '../../parts/table.js'
import { Link } from '../../route.js'
import { change } from './change.js'
import { type Counts, type Dimension, dimensions, type Row } from './shapes.js'

export function Breakdown({ of, by }: { of: Counts; by: Dimension }) {
  const most = Math.max(...of.rows.map((row) => row.count), 1)
  const title = dimensions.find(([name]) => name === by)?.[1] ?? by
  return (
    <Table
      label={`Events by ${by}`}
      rows={of.rows}
      id={(row) => row.key ?? '\u0000'}
      columns={[
        { name: title, cell: (row) => <Key of={row} by={by} most={most} /> },
        { name: 'Events', isNumber: true, cell: (row) => number(row.count) },
        { name: 'Share', isNumber: true, cell: (row) => percent(row.count, of.events) },
        { name: 'Before', isNumber: true, cell: (row) => number(row.previous) },
        { name: 'Change', isNumber: true, cell: (row) => <Change now={row.count} before={row.previous} /> },
      ]}
    />
  )
}

function Key({ of: row, by, most }: { of: Row; by: Dimension; most: number }) {
  return (
    <div className="key">
      {row.key === null ? (
        <span className="help">others together</span>
      ) : by === 'type' ? (
        <Link to="/tail" with={{ type: row.key }}>
          {row.key}
        </Link>
      ) : by === 'actor' ? (
        <Link to="/inspect" with={{ user: row.key }}>
          {row.key}
        </Link>
      ) : (
        row.key
      )}
      <div className="share" aria-hidden="true">
        <div style={{ inlineSize: `${(row.count / most) * 100}%` }} />
      </div>
    </div>
  )
}

export function Change({ now, before }: { now: number; before: number | undefined }) {
  const { text, is } = change(now, before)
  return (
    <span className="change-of" data-is={is}>
      {text || '–'}
    </span>
  )
}
