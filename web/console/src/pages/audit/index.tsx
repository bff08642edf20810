// Who changed what, when, and what is otherwise since?

import { useMany } from '../../many.js'
import { useOwner } from '../../owner.js'
import { Filter, Select } from '../../parts/fields.js'
import { ForAdministrators, More } from '../../parts/more.js'
import { Page, Panel } from '../../parts/page.js'
import { Answer, Empty } from '../../parts/states.js'
import { useParams } from '../../route.js'
import { useMay, useSession } from '../../session.js'
import { ChooseTenant } from '../../tenant.js'
import './audit.css'
import { Record } from './record.js'
import { changes, filtersOf, kinds } from './shapes.js'

const nothing = { actor: null, action: null, target: null, from: null, to: null }

export default function AuditPage() {
  const now = useSession()
  const owner = useOwner()
  const mayAdmin = useMay('admin')
  if (now.status !== 'in') return null
  if (owner === null) return <ChooseTenant who={now.who} page="Audit" />
  if (!mayAdmin)
    return (
      <Page title="Audit">
        <ForAdministrators what="Records of changes" />
      </Page>
    )
  return <Audit owner={owner} />
}

function Audit({ owner }: { owner: string }) {
  const [query, change] = useParams()
  const filters = filtersOf(query)
  const isFiltered = Object.values(filters).some(Boolean)
  const list = useMany(`audit ${owner} ${JSON.stringify(filters)}`, (after, signal) => changes(owner, filters, after, signal), {
    every: 10_000,
  })
  // A kind and what was done to it, `webhook.deleted`, may stand in a link: it is a choice of its own then.
  const options = kinds.some(([kind]) => kind === filters.action) ? kinds : [...kinds, [filters.action, filters.action] as const]
  return (
    <Page
      title="Audit"
      lead={`Every change of what administrators set for ${owner === '*' ? 'the installation' : owner}, recorded with it in one transaction and kept for 400 days.`}
    >
      <Panel
        title="Changes"
        flush
        actions={
          isFiltered && (
            <button type="button" className="quiet link" onClick={() => change(nothing)}>
              Without filters
            </button>
          )
        }
      >
        <div className="toolbar">
          <Select label="What" value={filters.action} options={options} onChange={(action) => change({ action })} />
          <Filter label="Who" value={filters.actor} placeholder="user:ada, key:3f9a" onChange={(actor) => change({ actor })} />
          <Filter
            label="To which"
            value={filters.target}
            placeholder="name, pattern or id"
            onChange={(target) => change({ target })}
          />
          <Filter label="From" type="date" value={filters.from} onChange={(from) => change({ from })} />
          <Filter label="To" type="date" value={filters.to} onChange={(to) => change({ to })} />
        </div>
        <Answer of={list} what="the changes">
          {({ rows }) =>
            rows.length > 0 ? (
              <ol className="changes">
                {rows.map((one) => (
                  <Record key={one.id} of={one} filter={change} />
                ))}
              </ol>
            ) : isFiltered ? (
              <Empty title="No change is like this">
                Names are compared exactly.{' '}
                <button type="button" className="quiet link" onClick={() => change(nothing)}>
                  Show all changes
                </button>
              </Empty>
            ) : (
              <Empty title="Nothing was changed yet">
                Rules, keys, webhooks, event types, limits: whoever sets one leaves a record here.
              </Empty>
            )
          }
        </Answer>
        <More of={list} what="changes" />
      </Panel>
    </Page>
  )
}
