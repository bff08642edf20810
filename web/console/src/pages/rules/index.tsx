// Who may do what in which channels? The rules, one of them to edit, and what they would let somebody do.

import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { number } from '../../format.js'
import { Icon } from '../../icons.js'
import { forAdministrators } from '../../parts/administrators.js'
import { Badge, Page, Panel } from '../../parts/page.js'
import { Items, NewButton, NotThere, Split, useOpen } from '../../parts/split.js'
import { Answer, Empty } from '../../parts/states.js'
import { Link } from '../../route.js'
import { useIsForAllTenants } from '../../session.js'
import { useChosenTenant } from '../../tenant.js'
import { Editor } from './editor.js'
import { actions, type Rule } from './shapes.js'
import { Tester } from './tester.js'

export default forAdministrators('Channel rules', Rules)

function Rules() {
  const tenant = useChosenTenant()
  const open = useOpen('pattern')
  const { chosen, isNew } = open
  const rules = useAsk(`rules ${tenant}`, (signal) => get<{ rules: Rule[] }>('/v1/channel-rules', { signal, query: { tenant } }))
  const rule = rules.value?.rules.find((one) => one.pattern === chosen)
  const isForAll = useIsForAllTenants()
  const list = (
    <Panel
      title={tenant === '*' ? 'Rules of the installation' : 'Rules'}
      note={rules.value && number(rules.value.rules.length)}
      flush
    >
      <Answer of={rules} what="the rules">
        {({ rules }) =>
          rules.length === 0 ? (
            <Empty title="There are no rules yet">
              Without a rule people may only do what their token says: its own channels and those of <code>channels</code>.
            </Empty>
          ) : (
            <Items label="Rules" rows={rules} id={(one) => one.pattern} chosen={chosen} to="/rules" as="pattern">
              {(one) => (
                <>
                  <span className="row">
                    <span className="mono name">{one.pattern}</span>
                    {one.durable && <Badge tone="accent">durable</Badge>}
                    {one.unreadable && <Badge tone="bad">cannot be read</Badge>}
                  </span>
                  <small>{summary(one)}</small>
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
      title="Channel rules"
      lead="Who may do what in which channels. Of the rules for a channel the one that says most decides; a change holds on every node within a second."
      actions={
        <>
          {isForAll &&
            (tenant === '*' ? null : (
              <Link to="/rules" with={{ tenant: '*' }}>
                The installation's rules
              </Link>
            ))}
          <NewButton to="/rules">New rule</NewButton>
        </>
      }
    >
      <Split list={list} open={open} to="/rules" all="All rules">
        {isNew && <Editor key="new" tenant={tenant} rule={null} changed={rules.reload} />}
        {chosen !== null && rule && <Editor key={chosen} tenant={tenant} rule={rule} changed={rules.reload} />}
        {chosen !== null && !rule && rules.value && (
          <NotThere title="Rule" text={`There is no rule ${chosen}`} to="/rules" all="All rules" />
        )}
        {tenant === '*' ? (
          <p className="note">
            <Icon name="rules" />
            <span>These hold where a tenant has no rule for a channel. Rules are tried in a tenant: choose one above.</span>
          </p>
        ) : (
          <Tester tenant={tenant} rules={rules.value?.rules ?? []} />
        )}
      </Split>
    </Page>
  )
}

/** `subscribe: anyone · publish: role:desk` */
function summary(rule: Rule): string {
  const parts = actions
    .filter((action) => action !== 'history' && rule[action].length > 0)
    .map((action) => `${action}: ${rule[action].join(', ')}`)
  return parts.join(' · ') || 'gives nobody anything'
}
