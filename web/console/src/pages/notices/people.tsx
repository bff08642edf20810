// Who has taken note of a notice, who has not, and whom has it reached?

import { useState } from 'react'
import { get } from '../../api.js'
import { dateTime } from '../../format.js'
import { useMany } from '../../many.js'
import { Select } from '../../parts/fields.js'
import { More } from '../../parts/more.js'
import { Badge, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Table } from '../../parts/table.js'
import { Link } from '../../route.js'
import { type Person, pathOf, type Status } from './shapes.js'

const lists = [
  ['not_acked', 'Have not taken note'],
  ['acked', 'Have taken note'],
  ['not_delivered', 'It has not reached'],
  ['delivered', 'It has reached'],
  ['seen', 'Have seen it'],
] as const

export function People({ tenant, status }: { tenant: string; status: Status }) {
  const [list, setList] = useState<string>(status.requires_ack ? 'not_acked' : 'not_delivered')
  // The numbers say when somebody is on another list.
  const numbers = `${status.delivered} ${status.seen} ${status.read} ${status.acked} ${status.audience}`
  const people = useMany(
    `people ${tenant} ${status.id} ${list}`,
    async (after, signal) => {
      const page = await get<Status>(pathOf(status.id), { signal, query: { tenant, list, limit: 50, after } })
      return { rows: page.not_acked ?? page.people ?? [], next: page.next }
    },
    { again: numbers },
  )
  return (
    <Panel title="People" actions={<Select label="Who" value={list} options={lists} onChange={setList} />} flush>
      <Answer of={people} what="the people">
        {({ rows }) => {
          if (rows.length === 0)
            return (
              <Empty
                title={
                  list === 'not_acked'
                    ? 'Everybody has taken note'
                    : list === 'not_delivered'
                      ? 'It has reached everybody'
                      : 'Nobody yet'
                }
              >
                {status.audience === 0 &&
                  'Nobody is known whom it is for: of a role, those who were connected with it and name a device.'}
              </Empty>
            )
          return (
            <>
              <Table
                label="People"
                rows={rows}
                id={(one) => one.user}
                columns={[
                  { name: 'User', cell: (one) => <b>{one.user}</b> },
                  { name: 'Delivered', cell: (one) => yes(one.delivered) },
                  { name: 'Seen', cell: (one) => yes(one.seen) },
                  { name: 'Read', cell: (one) => yes(one.read) },
                  { name: 'Taken note', cell: (one: Person) => (one.acked_at ? dateTime(one.acked_at) : yes(false)) },
                  {
                    name: 'Why',
                    cell: (one) => (
                      <Link to="/why" with={{ event: status.id, user: one.user }} aria-label={`Why: ${one.user}`}>
                        Why?
                      </Link>
                    ),
                  },
                ]}
              />
              <More of={people} what="people" />
            </>
          )
        }}
      </Answer>
    </Panel>
  )
}

const yes = (is: boolean) => (is ? <Badge tone="good">yes</Badge> : <span className="help">no</span>)
