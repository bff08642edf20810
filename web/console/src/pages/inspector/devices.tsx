// How far is each device of a person: what was delivered to it, and what has it acknowledged?

import { useAsk } from '../../ask.js'
import { ago, dateTime, number } from '../../format.js'
import { Badge, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Table } from '../../parts/table.js'
import { Link } from '../../route.js'
import { type Cursor, reach } from './shapes.js'

export function Devices({ user }: { user: string }) {
  const asked = useAsk(`devices ${user}`, (signal) => reach(user, signal), { every: 5000 })
  return (
    <Panel title="Devices" note={asked.value && `${number(asked.value.audience)} of theirs`} flush>
      <Answer of={asked} what="the devices">
        {(of) =>
          of === null ? (
            <Empty title="No event is for all their devices">
              Cursors are told against the newest event in <code>user:{user}</code>, and the log has none. Send a test.
            </Empty>
          ) : of.audience === 0 ? (
            <Empty title="No device of theirs is known">
              A client that gives itself a <code>device</code> has a cursor here; without one nobody knows how far it is.
            </Empty>
          ) : (
            <>
              <p className="sum">
                Event {number(of.seq)}, the newest for all their devices: <b>{number(of.delivered)}</b> of {number(of.audience)}{' '}
                have it, <b>{number(of.acked)}</b> have acknowledged it.
              </p>
              {of.pending.length > 0 && (
                <Table
                  label="Devices that are behind"
                  rows={of.pending}
                  id={(one) => one.device}
                  columns={[
                    { name: 'Device', cell: (one) => <b className="name">{one.device}</b> },
                    { name: 'Has the event', cell: (one) => <Has of={one} seq={of.seq} /> },
                    { name: 'Delivered', isNumber: true, cell: (one) => number(one.delivered) },
                    { name: 'Acknowledged', isNumber: true, cell: (one) => number(one.acked) },
                    {
                      name: 'Last seen',
                      cell: (one) => <span title={dateTime(one.last_seen)}>{ago(one.last_seen)}</span>,
                    },
                    {
                      name: 'Actions',
                      cell: (one) => (
                        <Link to="/why" with={{ user, device: one.device }} aria-label={`Why not to ${one.device}?`}>
                          Why?
                        </Link>
                      ),
                    },
                  ]}
                />
              )}
            </>
          )
        }
      </Answer>
    </Panel>
  )
}

function Has({ of, seq }: { of: Cursor; seq: number }) {
  if (of.delivered >= seq) return <Badge tone="accent">Yes, not acknowledged</Badge>
  return <Badge tone="warn">{number(seq - of.delivered)} behind</Badge>
}
