// What is said about types of events? The types, and one of them to edit and to preview.

import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { number } from '../../format.js'
import { forAdministrators } from '../../parts/administrators.js'
import { Badge, Page, Panel } from '../../parts/page.js'
import { Items, NewButton, NotThere, Split, useOpen } from '../../parts/split.js'
import { Answer, Empty } from '../../parts/states.js'
import { Link } from '../../route.js'
import { useIsForAllTenants } from '../../session.js'
import { useChosenTenant } from '../../tenant.js'
import { Editor } from './editor.js'
import { Preview } from './preview.js'
import type { EventType } from './shapes.js'
import './types.css'

export default forAdministrators('Event types', Types)

function Types() {
  const tenant = useChosenTenant()
  const open = useOpen('type')
  const { chosen, isNew } = open
  const types = useAsk(`types ${tenant}`, (signal) =>
    get<{ types: EventType[] }>('/v1/event-types', { signal, query: { tenant } }),
  )
  const type = types.value?.types.find((one) => one.type === chosen)
  const isForAll = useIsForAllTenants()
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
          {isForAll && tenant !== '*' && (
            <Link to="/types" with={{ tenant: '*' }}>
              The installation's types
            </Link>
          )}
          <NewButton to="/types">New type</NewButton>
        </>
      }
    >
      <Split list={list} open={open} to="/types" all="All types">
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
            <NotThere title="Type" text={`Nothing is said about ${chosen}`} to="/types" all="All types" />
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
