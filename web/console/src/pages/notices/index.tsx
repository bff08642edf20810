// Which notices were sent, and what became of them? And one more is written.

import { useState } from 'react'
import { ago, number } from '../../format.js'
import { Icon } from '../../icons.js'
import { useMany } from '../../many.js'
import { More } from '../../parts/more.js'
import { Badge, Page, Panel } from '../../parts/page.js'
import { Items, NewButton, Split, useOpen } from '../../parts/split.js'
import { Answer, Empty } from '../../parts/states.js'
import { useMay } from '../../session.js'
import { useChosenTenant } from '../../tenant.js'
import { Composer } from './composer.js'
import { useFigures } from './figures.js'
import { One } from './one.js'
import { newest, type Status } from './shapes.js'
import './notices.css'

export default function Notices() {
  const tenant = useChosenTenant()
  const may = useMay('publish')
  const open = useOpen('notice')
  const { chosen, isNew } = open
  const [turn, setTurn] = useState(0)
  const list = useMany(`notices ${tenant}`, (after, signal) => newest(tenant, after, signal))
  const ids = list.value?.rows.map((one) => one.id) ?? []
  const figures = useFigures(tenant, ids, turn)
  const notice = list.value?.rows.find((one) => one.id === chosen)
  const changed = () => {
    list.reload()
    setTurn((now) => now + 1)
  }
  const panel = (
    <Panel
      title="Sent"
      note={list.value && `${number(list.value.rows.length)}${list.value.hasMore ? ' newest' : ''}`}
      actions={
        <button type="button" className="quiet" title="Read again" onClick={changed}>
          <Icon name="retry" label="Read again" />
        </button>
      }
      flush
    >
      <Answer of={list} what="the notices">
        {({ rows, hasMore }) => (
          <>
            {rows.length === 0 ? (
              <Empty title={hasMore ? 'None among the newest events' : 'No notice has been sent yet'}>
                {hasMore
                  ? 'Notices are rare in this log. Older events can be read, too.'
                  : 'A notice stands in the inbox of everybody it is for, until they take it out.'}
              </Empty>
            ) : (
              <Items label="Notices" rows={rows} id={(one) => one.id} chosen={chosen} to="/notices" as="notice">
                {(one) => (
                  <>
                    <span className="row">
                      <span className="name grow">{one.notify.title ?? one.type}</span>
                      {isLoud(one.notify.priority) && <Badge tone="bad">{one.notify.priority}</Badge>}
                      {figures.get(one.id)?.retracted_at && <Badge>taken back</Badge>}
                    </span>
                    <small>
                      {ago(one.time)} · <span className="mono">{one.type}</span>
                    </small>
                    <Bar of={figures.get(one.id)} />
                  </>
                )}
              </Items>
            )}
            <More of={list} what="notices" />
          </>
        )}
      </Answer>
    </Panel>
  )
  return (
    <Page
      title="Notices"
      lead="What was put into people's inboxes, whom it has reached, and who has not taken note."
      actions={
        <NewButton to="/notices" forbidden={!may && 'Notices are sent with the scope publish'}>
          Write a notice
        </NewButton>
      }
    >
      <Split list={panel} open={open} to="/notices" all="All notices">
        {isNew ? (
          <Composer tenant={tenant} changed={changed} />
        ) : chosen !== null ? (
          <One key={chosen} tenant={tenant} id={chosen} notice={notice ?? null} changed={changed} />
        ) : (
          list.value &&
          list.value.rows.length > 0 && (
            <Panel title="Notice">
              <Empty title="Choose a notice">Whom it has reached, and who has not taken note, is shown here.</Empty>
            </Panel>
          )
        )}
      </Split>
    </Page>
  )
}

const isLoud = (priority: string | undefined) => priority === 'urgent' || priority === 'critical'

/** How far it has come, at a glance. */
function Bar({ of }: { of: Status | undefined }) {
  if (!of) return <span className="progress" data-empty />
  const [done, word] = of.requires_ack ? [of.acked, 'taken note'] : [of.seen, 'seen']
  return (
    <span className="row reach">
      <progress
        className="progress"
        max={Math.max(1, of.audience)}
        value={done}
        aria-label={`${done} of ${of.audience} ${word}`}
      />
      <small>
        {number(done)} of {number(of.audience)} {word}
      </small>
    </span>
  )
}
