// What is said about types of events? The types, and one of them to edit and to preview.

import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { number } from '../../format.js'
import { forAdministrators } from '../../parts/administrators.js'
import { Badge, Page, Panel } from '../../parts/page.js'
import { Items, Split } from '../../parts/split.js'
import { Answer, Empty } from '../../parts/states.js'
import { go, href, Link, useParams } from '../../route.js'
import { useMay, useSession } from '../../session.js'
import { useChosenTenant } from '../../tenant.js'
import { Editor } from './editor.js'
import { Preview } from './preview.js'
import type { EventType } from './shapes.js'
import './types.css'

export default forAdministrators('Event types', Types)

function Types() {
  const tenant = useChosenTenant()
  const may = useMay('admin')
  const session = useSession()
  const [query] = useParams()
  const types = useAsk(`types ${tenant}`, (signal) =>
    get<{ types: EventType[] }>('/v1/event-types', { signal, query: { tenant } }),
  )
  const chosen = query.get('type')
  const isNew = query.has('new')
  const type = types.value?.types.find((one) => one.type === chosen)
  const ofAll = session.status === 'in' && session.who.tenant === null && session.who.tenants.length === 0
  const list = (
    <Panel
      title={tenant === '*' ? 'Types of the installation' : 'Types'}
      note={types.value && number(types.value.types.length)}
      flush
    >
      <Answer of={types} what="the event types">
        {({ types }) =>
          types.length === 0 ? (
            <Empty title="Nothing is said about any type yet">
              A type about which nothing is said works as well. Say something to have its notices written by templates, its data
              checked, or its defaults set.
            </Empty>
          ) : (
            <Items label="Types" rows={types} id={(one) => one.type} chosen={chosen} to="/types" as="type">
              {(one) => (
                <>
                  <span className="row">
                    <span className="mono name">{one.type}</span>
                    {one.mandatory && <Badge tone="accent">mandatory</Badge>}
                    {one.schema !== undefined && <Badge>schema</Badge>}
                    {one.unreadable && <Badge tone="bad">cannot be read</Badge>}
                  </span>
                  <small>
                    {one.title ?? 'no text of its own'}
                    {Object.keys(one.locales).length > 0 && ` · ${Object.keys(one.locales).join(', ')}`}
                  </small>
                </>
              )}
            </Items>
          )
        }
      </Answer>
    </Panel>
  )
  return (
    <Page
      title="Event types"
      lead="What notices of a type say in each language, what its data must be like, and by which means people get it who have said nothing themselves."
      actions={
        <>
          {ofAll && tenant !== '*' && (
            <Link to="/types" with={{ tenant: '*' }}>
              The installation's types
            </Link>
          )}
          <button
            type="button"
            className="primary"
            disabled={!may}
            title={may ? undefined : 'Types are set with the scope admin'}
            onClick={() => go(href('/types', { new: 1 }))}
          >
            New type
          </button>
        </>
      }
    >
      <Split list={list} open={isNew ? 'new' : chosen} to="/types" all="All types">
        {isNew ? (
          <Editor key="new" tenant={tenant} type={null} changed={types.reload} />
        ) : type ? (
          <>
            <Editor key={`${type.type} edit`} tenant={tenant} type={type} changed={types.reload} />
            {tenant !== '*' && type.title && <Preview key={`${type.type} preview`} tenant={tenant} type={type} />}
          </>
        ) : (
          types.value &&
          (chosen !== null ? (
            <Panel title="Type">
              <Empty title={`Nothing is said about ${chosen}`}>
                <Link to="/types">Look at all types</Link>
              </Empty>
            </Panel>
          ) : (
            types.value.types.length > 0 && (
              <Panel title="Type">
                <Empty title="Choose a type">
                  Its texts, defaults and schema are shown here, with a preview in each language.
                </Empty>
              </Panel>
            )
          ))
        )}
      </Split>
    </Page>
  )
}
