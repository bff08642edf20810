// Which HTTP endpoints get a tenant's events, and how are they doing?

import { useState } from 'react'
import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { number } from '../../format.js'
import { forAdministrators } from '../../parts/administrators.js'
import { Badge, Page, Panel } from '../../parts/page.js'
import { Secret } from '../../parts/secret.js'
import { Items, NewButton, NotThere, Split, useOpen } from '../../parts/split.js'
import { Answer, Empty } from '../../parts/states.js'
import { useChosenTenant } from '../../tenant.js'
import { Deliveries } from './deliveries.js'
import { Form } from './form.js'
import { One } from './one.js'
import { conditionOf, type Webhook } from './shapes.js'
import './webhooks.css'

export interface MadeSecret {
  readonly webhook: string
  readonly text: string
}

export default forAdministrators('Webhooks', Webhooks)

function Webhooks() {
  const tenant = useChosenTenant()
  const open = useOpen('webhook')
  const { chosen, isNew } = open
  const [secret, show] = useState<MadeSecret | null>(null)
  const hooks = useAsk(
    `webhooks ${tenant}`,
    (signal) => get<{ webhooks: Webhook[] }>('/v1/webhooks', { signal, query: { tenant } }),
    { every: 5_000 },
  )
  const hook = hooks.value?.webhooks.find((one) => one.id === chosen)
  const list = (
    <Panel title="Webhooks" note={hooks.value && number(hooks.value.webhooks.length)} flush>
      <Answer of={hooks} what="the webhooks">
        {({ webhooks }) =>
          webhooks.length === 0 ? (
            <Empty title="There are no webhooks yet">
              A webhook sends each event that is committed to an endpoint of yours: signed, at least once, in order.
            </Empty>
          ) : (
            <Items label="Webhooks" rows={webhooks} id={(one) => one.id} chosen={chosen} to="/webhooks" as="webhook">
              {(one) => {
                const { tone, word } = conditionOf(one)
                return (
                  <>
                    <span className="row">
                      <span className="name grow">{one.id}</span>
                      {one.parked > 0 && <Badge tone="warn">{number(one.parked)} parked</Badge>}
                      <Badge tone={tone}>{word}</Badge>
                    </span>
                    <small className="mono">{one.url}</small>
                  </>
                )
              }}
            </Items>
          )
        }
      </Answer>
    </Panel>
  )
  return (
    <Page
      title="Webhooks"
      lead="A webhook is a cursor on the tenant's log: what was missed while an endpoint was away is sent when it is back, and again from any point when you ask."
      actions={<NewButton to="/webhooks">New webhook</NewButton>}
    >
      <Split list={list} open={open} to="/webhooks" all="All webhooks">
        {secret && (
          <Secret name="secret" title={`The secret of ${secret.webhook}`} secret={secret.text} close={() => show(null)}>
            <p>Messages are signed with it: put it where your receiver reads it.</p>
          </Secret>
        )}
        {isNew ? (
          <Form key="new" tenant={tenant} hook={null} changed={hooks.reload} show={show} />
        ) : hook ? (
          <>
            <One key={`${hook.id} one`} tenant={tenant} hook={hook} changed={hooks.reload} show={show} />
            <Deliveries
              key={`${hook.id} deliveries`}
              tenant={tenant}
              id={hook.id}
              count={hook.retrying + hook.parked}
              changed={hooks.reload}
            />
            <Form key={`${hook.id} form`} tenant={tenant} hook={hook} changed={hooks.reload} show={show} />
          </>
        ) : (
          hooks.value &&
          (chosen !== null ? (
            <NotThere title="Webhook" text={`There is no webhook ${chosen}`} to="/webhooks" all="All webhooks" />
          ) : (
            hooks.value.webhooks.length > 0 && (
              <Panel title="Webhook">
                <Empty title="Choose a webhook">How it is, its failed deliveries and what it is set to are shown here.</Empty>
              </Panel>
            )
          ))
        )}
      </Split>
    </Page>
  )
}
