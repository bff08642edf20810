// Which connections are open, how well do they do, and how is one of them closed?

import { ago, dateTime, milliseconds, number } from '../../format.js'
import { useMany } from '../../many.js'
import type { Act } from '../../parts/act.js'
import { More } from '../../parts/more.js'
import { Badge, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { type Column, Table } from '../../parts/table.js'
import { Link } from '../../route.js'
import { useTenant } from '../../tenant.js'
import { Disconnect } from './disconnect.js'
import { type Connection, type ConnectionFilter, connections } from './shapes.js'

interface Props {
  readonly filter: ConnectionFilter
  readonly act: Act
  /** Filters that stand above the list. */
  readonly children?: React.ReactNode
  readonly none: React.ReactNode
}

export function Connections({ filter, act, none, children }: Props) {
  const tenant = useTenant()
  const list = useMany(`connections ${tenant} ${JSON.stringify(filter)}`, (after, signal) => connections(filter, after, signal), {
    every: 5000,
  })
  const columns: Column<Connection>[] = [
    {
      name: 'User',
      cell: (one) => (
        <Link to="/inspect" with={{ user: one.user }}>
          {one.user}
        </Link>
      ),
    },
    { name: 'Device', cell: (one) => one.device ?? <span className="help">no name</span> },
    {
      name: 'Connection',
      cell: (one) => (
        <Link to="/inspect" with={{ connection: one.connection }} className="mono">
          {one.connection}
        </Link>
      ),
    },
    { name: 'Over', cell: (one) => <Badge>{one.transport === 'sse' ? 'event stream' : one.transport}</Badge> },
    { name: 'Since', cell: (one) => <span title={dateTime(one.since)}>{ago(one.since)}</span> },
    { name: 'Round trip', isNumber: true, cell: (one) => milliseconds(one.rtt_ms) },
    { name: 'Behind', isNumber: true, cell: (one) => <Behind of={one} /> },
    {
      name: 'Actions',
      cell: (one) => (
        <span className="row actions">
          <Disconnect whom={{ connection: one.connection }} name={one.connection} act={act} after={list.reload} isQuiet />
        </span>
      ),
    },
  ]
  const shown = filter.user ? columns.slice(1) : columns
  return (
    <Panel
      title="Connections"
      note={
        list.value && `${number(list.value.rows.length)}${list.value.hasMore ? ' and more' : ''}, as gateways said a second ago`
      }
      flush
    >
      {children}
      <Answer of={list} what="the connections">
        {({ rows }) =>
          rows.length === 0 ? none : <Table label="Connections" rows={rows} id={(one) => one.connection} columns={shown} />
        }
      </Answer>
      <More of={list} what="connections" />
    </Panel>
  )
}

export function Behind({ of: { behind, lost_pings } }: { of: Connection }) {
  if (lost_pings > 0) return <Badge tone="warn">{lost_pings} pings lost</Badge>
  if (behind === null) return <span title="Without a device nobody knows how far it is">–</span>
  return behind === 0 ? <Badge tone="good">0</Badge> : <span>{number(behind)}</span>
}

export const NoConnection = ({ who }: { who: string }) => (
  <Empty title="No connection is open">{who} has no WebSocket and no event stream now. A poll is no connection.</Empty>
)
