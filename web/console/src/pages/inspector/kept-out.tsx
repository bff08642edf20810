// Whose tokens are refused, since when and until when, and how are they let in again?

import { ago, dateTime, number } from '../../format.js'
import type { Many } from '../../many.js'
import type { Act } from '../../parts/act.js'
import { More } from '../../parts/more.js'
import { Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { Table } from '../../parts/table.js'
import { lift, type Revocation } from './shapes.js'

export function KeptOut({ of, user, act }: { of: Many<Revocation>; user?: string; act: Act }) {
  const wanted = (one: Revocation) => one.connection === null && (user === undefined || one.user === user)
  return (
    <Panel title="Disconnected" note="tokens issued before are refused" flush>
      <Answer of={of} what="who is disconnected">
        {({ rows, hasMore }) => {
          const shown = rows.filter(wanted)
          return shown.length === 0 ? (
            <Empty title={user === undefined ? 'Nobody is kept out' : `No token of ${user} is refused`}>
              Whoever is disconnected stands here until it is lifted, or for 90 days.
              {hasMore && ` The first ${number(rows.length)} were looked at.`}
            </Empty>
          ) : (
            <Table
              label="Disconnected"
              rows={shown}
              id={(one) => `${one.id}`}
              columns={[
                { name: 'Whom', cell: (one) => [one.user, one.device && `device ${one.device}`].filter(Boolean).join(', ') },
                { name: 'Since', cell: (one) => <span title={dateTime(one.revoked_at)}>{ago(one.revoked_at)}</span> },
                { name: 'Until', cell: (one) => dateTime(one.until) },
                {
                  name: 'Actions',
                  cell: (one) => (
                    <span className="row actions">
                      <button
                        type="button"
                        className="quiet link"
                        disabled={act.isRunning}
                        onClick={() =>
                          void act.run(async () => {
                            await lift(one.id)
                            of.reload()
                            return 'It was lifted: within a second the tokens are taken again.'
                          })
                        }
                      >
                        Let in again
                      </button>
                    </span>
                  ),
                },
              ]}
            />
          )
        }}
      </Answer>
      <More of={of} what="entries" />
    </Panel>
  )
}
