// Who is here: in which channels is somebody seen, and who is seen in a channel?

import type { ReactNode } from 'react'
import { useAsk } from '../../ask.js'
import { ago, dateTime, number } from '../../format.js'
import { Icon } from '../../icons.js'
import { Badge, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Table } from '../../parts/table.js'
import { Link } from '../../route.js'
import { members, presentIn } from './shapes.js'

interface Seen {
  readonly name: string
  readonly since: number
  readonly meta?: unknown
}

function People({ of, label, column, to }: { of: readonly Seen[]; label: string; column: string; to: 'user' | 'channel' }) {
  return (
    <Table
      label={label}
      rows={of}
      id={(one) => one.name}
      columns={[
        {
          name: column,
          cell: (one) => (
            <Link to="/inspect" with={{ [to]: one.name }}>
              {one.name}
            </Link>
          ),
        },
        { name: 'Since', cell: (one) => <span title={dateTime(one.since)}>{ago(one.since)}</span> },
        { name: 'Shows', cell: (one) => (one.meta === undefined ? '–' : <code>{JSON.stringify(one.meta)}</code>) },
      ]}
    />
  )
}

const Old = (): ReactNode => (
  <p className="note warn" role="status">
    <Icon name="warn" /> Redis is away, or was a moment ago: this is what was known last.
  </p>
)

export function PersonPresence({ user }: { user: string }) {
  const asked = useAsk(`present ${user}`, (signal) => presentIn(user, signal), { every: 5000 })
  const { value } = asked
  return (
    <Panel title="Presence" actions={value && (value.present ? <Badge tone="good">Here</Badge> : <Badge>Not here</Badge>)} flush>
      <Answer of={asked} what="where they are">
        {(of) => (
          <>
            {of.stale && <Old />}
            {of.channels.length > 0 ? (
              <People
                of={of.channels.map(({ channel, ...rest }) => ({ name: channel, ...rest }))}
                label="Channels they are seen in"
                column="Channel"
                to="channel"
              />
            ) : (
              <Empty title="They are seen nowhere">
                People are seen in channels they are connected to and whose rule lists them for <code>presence</code>.
              </Empty>
            )}
            {of.next && <p className="sum help">Further channels are not shown.</p>}
          </>
        )}
      </Answer>
    </Panel>
  )
}

export function ChannelPresence({ channel }: { channel: string }) {
  const asked = useAsk(`members ${channel}`, (signal) => members(channel, signal), { every: 5000 })
  return (
    <Panel
      title="Who is here"
      note={asked.value && (asked.value.count === 1 ? 'one person' : `${number(asked.value.count)} people`)}
      flush
    >
      <Answer of={asked} what="who is here">
        {(of) => (
          <>
            {of.stale && <Old />}
            {of.members.length > 0 ? (
              <People
                of={of.members.map(({ user, ...rest }) => ({ name: user, ...rest }))}
                label="People here"
                column="Person"
                to="user"
              />
            ) : (
              <Empty title="Nobody is seen here">
                People are seen in a channel whose rule lists them for <code>presence</code>; connections below are there all the
                same.
              </Empty>
            )}
            {of.next && <p className="sum help">The first {number(of.members.length)} are shown.</p>}
          </>
        )}
      </Answer>
    </Panel>
  )
}
