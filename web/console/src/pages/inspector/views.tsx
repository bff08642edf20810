// What is shown of a person, of a channel, of a connection, and of a tenant as a whole?

import { type ReactNode, useState } from 'react'
import { useAsk } from '../../ask.js'
import { ago, clock, dateTime, milliseconds, number } from '../../format.js'
import { useMany } from '../../many.js'
import { type Act, useAct } from '../../parts/act.js'
import { Filter } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Badge, Copy, Facts, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Table } from '../../parts/table.js'
import { Link, useParams } from '../../route.js'
import { useMay } from '../../session.js'
import { useTenant } from '../../tenant.js'
import { Behind, Connections, NoConnection } from './connections.js'
import { Devices } from './devices.js'
import { Disconnect } from './disconnect.js'
import { KeptOut } from './kept-out.js'
import { May } from './may.js'
import { ChannelPresence, PersonPresence } from './present.js'
import { Send } from './send.js'
import { activity, connection, latestEvents, revocations } from './shapes.js'

function Subject({ kind, name, children }: { kind: string; name: string; children?: ReactNode }) {
  return (
    <section className="panel subject" aria-label={`${kind} ${name}`}>
      <div className="grow">
        <small>{kind}</small>
        <h2 className="row">
          {name} <Copy text={name} what={`Copy ${name}`} />
        </h2>
      </div>
      <div className="row">{children}</div>
    </section>
  )
}

function useKeptOut() {
  const tenant = useTenant()
  const may = useMay('admin')
  return useMany(may ? `revocations ${tenant}` : null, revocations)
}

export function Person({ user }: { user: string }) {
  const act = useAct()
  const may = useMay('admin')
  const kept = useKeptOut()
  const [turn, again] = useState(0)
  return (
    <>
      <Subject kind="Person" name={user}>
        <Link to="/preferences" with={{ user }}>
          Preferences
        </Link>
        <Link to="/why" with={{ user }}>
          Why not?
        </Link>
        <Send to={{ users: [user] }} name={user} user={user} after={() => again((n) => n + 1)} />
        <Disconnect whom={{ user }} name={user} act={act} after={kept.reload} />
      </Subject>
      <Outcome of={act} />
      <Connections filter={{ user }} act={act} none={<NoConnection who={user} />} />
      <Devices key={`devices ${turn}`} user={user} />
      <div className="columns wide-columns">
        <PersonPresence user={user} />
        <May user={user} />
        <ActivityOf user={user} />
        {may && <KeptOut of={kept} user={user} act={act} />}
      </div>
    </>
  )
}

function ActivityOf({ user }: { user: string }) {
  const asked = useAsk(`activity ${user}`, (signal) => activity(user, signal), { every: 10_000 })
  return (
    <Panel title="Activity" note="what their pages said last" flush>
      <Answer of={asked} what="what they did">
        {(rows) =>
          rows.length === 0 ? (
            <Empty title="Their pages said nothing">
              A page says what people do with <code>activity</code> frames; they are kept for 30 days.
            </Empty>
          ) : (
            <Table
              label="Activity"
              rows={rows}
              id={(one) => one.id}
              columns={[
                { name: 'When', cell: (one) => <span title={dateTime(one.time)}>{ago(one.time)}</span> },
                { name: 'What', cell: (one) => one.name },
                { name: 'Device', cell: (one) => one.device ?? '–' },
                { name: 'Data', cell: (one) => (one.data === undefined ? '–' : <code>{JSON.stringify(one.data)}</code>) },
              ]}
            />
          )
        }
      </Answer>
    </Panel>
  )
}

export function ChannelView({ channel }: { channel: string }) {
  const act = useAct()
  const asked = useAsk(`events ${channel}`, (signal) => latestEvents(channel, 10, signal), { every: 5000 })
  return (
    <>
      <Subject kind="Channel" name={channel}>
        <Link to="/tail" with={{ channel }}>
          Live tail
        </Link>
        <Send to={{ channel }} name={channel} after={asked.reload} />
      </Subject>
      <Outcome of={act} />
      <div className="columns wide-columns">
        <ChannelPresence channel={channel} />
        <May channel={channel} />
      </div>
      <Panel title="Newest events" flush>
        <Answer of={asked} what="the newest events">
          {(rows) =>
            rows.length === 0 ? (
              <Empty title="Nothing was published here">The log has no event of this channel.</Empty>
            ) : (
              <Table
                label="Newest events"
                rows={rows}
                id={(row) => `${row.seq}`}
                columns={[
                  { name: 'Number', isNumber: true, cell: (row) => row.seq },
                  { name: 'Type', cell: (row) => row.event.type },
                  { name: 'When', cell: (row) => <span title={dateTime(row.event.time)}>{clock(row.event.time)}</span> },
                  { name: 'Actor', cell: (row) => row.event.actor ?? '–' },
                  {
                    name: 'Event',
                    cell: (row) => (
                      <Link to="/why" with={{ event: row.event.id }} className="mono">
                        {row.event.id}
                      </Link>
                    ),
                  },
                ]}
              />
            )
          }
        </Answer>
      </Panel>
      <Connections filter={{ channel }} act={act} none={<Empty title="No connection is in this channel" />} />
    </>
  )
}

export function ConnectionView({ name }: { name: string }) {
  const act = useAct()
  const asked = useAsk(`connection ${name}`, (signal) => connection(name, signal), { every: 5000 })
  return (
    <>
      <Subject kind="Connection" name={name}>
        <Disconnect whom={{ connection: name }} name="this connection" act={act} after={asked.reload} />
      </Subject>
      <Outcome of={act} />
      <Panel title="How it is">
        <Answer of={asked} what="the connection">
          {(one) =>
            one === null ? (
              <Empty title="No such connection is open">
                It has ended, or never was. What has ended is in the table <code>carillon.sessions</code>.
              </Empty>
            ) : (
              <Facts
                of={[
                  [
                    'User',
                    <Link key="user" to="/inspect" with={{ user: one.user }}>
                      {one.user}
                    </Link>,
                  ],
                  ['Device', one.device],
                  ['Gateway', one.node],
                  ['Over', one.transport === 'sse' ? 'event stream' : 'WebSocket'],
                  ['Since', `${dateTime(one.since)} (${ago(one.since)})`],
                  ['Round trip', milliseconds(one.rtt_ms)],
                  ['Pings lost', number(one.lost_pings)],
                  ['Events behind', <Behind key="behind" of={one} />],
                  ['Address', one.address],
                ]}
              />
            )
          }
        </Answer>
      </Panel>
    </>
  )
}

export function Whole({ tenant }: { tenant: string }) {
  const act = useAct()
  const may = useMay('admin')
  const kept = useKeptOut()
  return (
    <>
      <Subject kind="Tenant" name={tenant}>
        <Link to="/tenants">Limits</Link>
        <Send to={{ tenant_wide: true }} name={`everybody of ${tenant}`} />
      </Subject>
      <Outcome of={act} />
      <AllConnections act={act} />
      {may && <KeptOut of={kept} act={act} />}
    </>
  )
}

function AllConnections({ act }: { act: Act }) {
  const [query, change] = useParams()
  const device = query.get('device') ?? ''
  const node = query.get('node') ?? ''
  const filter = { ...(device && { device }), ...(node && { node }) }
  return (
    <Connections
      filter={filter}
      act={act}
      none={
        device || node ? (
          <Empty title="No connection is like this">
            <button type="button" className="quiet link" onClick={() => change({ device: null, node: null })}>
              Show all
            </button>
          </Empty>
        ) : (
          <Empty title="No connection is open">
            <Badge>WebSockets</Badge> and <Badge>event streams</Badge> of this tenant stand here while they are open.
          </Empty>
        )
      }
    >
      <div className="toolbar">
        <Filter label="Device" value={device} placeholder="any" onChange={(text) => change({ device: text.trim() })} />
        <Filter label="Gateway" value={node} placeholder="any" onChange={(text) => change({ node: text.trim() })} />
      </div>
    </Connections>
  )
}
