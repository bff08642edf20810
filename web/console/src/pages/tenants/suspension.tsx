// How is a tenant stopped, and how does it go on?

import { useState } from 'react'
import { Icon } from '../../icons.js'
import { useAct } from '../../parts/act.js'
import { Confirm } from '../../parts/dialog.js'
import { Outcome } from '../../parts/outcome.js'
import { Badge, Panel } from '../../parts/page.js'
import { Link } from '../../route.js'
import { useIsForAllTenants } from '../../session.js'
import { type Settings, set } from './shapes.js'

export function Suspension({ of, changed }: { of: Settings; changed: (settings: Settings) => void }) {
  const isForAll = useIsForAllTenants()
  const [isAsking, setAsking] = useState(false)
  const act = useAct()
  const put = (suspended: boolean, done: string) =>
    void act.run(async () => {
      changed(await set(of.tenant, { suspended }))
      return done
    })
  return (
    <Panel
      title="Suspension"
      actions={
        <>
          {of.suspended ? <Badge tone="bad">Suspended</Badge> : <Badge tone="good">Not suspended</Badge>}
          <Link to="/audit" with={{ action: 'suspension' }}>
            History
          </Link>
        </>
      }
    >
      <div className="form">
        {of.suspended ? (
          <p className="note bad">
            <Icon name="warn" /> Its connections are closed, publishing and reading are refused, webhooks and escalations rest
            where they are.
          </p>
        ) : (
          <p className="help">
            A suspended tenant has no connections, publishes and reads nothing; its log, settings and cursors stay, and it goes on
            without a gap.
          </p>
        )}
        <Outcome of={act} />
        {isForAll ? (
          <div className="row end">
            {of.suspended ? (
              <button
                type="button"
                className="primary"
                disabled={act.isRunning}
                onClick={() => put(false, 'It goes on. Pages connect when they are loaded again.')}
              >
                Let it go on
              </button>
            ) : (
              <button type="button" className="danger" disabled={act.isRunning} onClick={() => setAsking(true)}>
                Suspend
              </button>
            )}
          </div>
        ) : (
          <p className="note">Whoever runs the installation suspends a tenant, with an API key for all tenants.</p>
        )}
      </div>
      {isAsking && (
        <Confirm
          title={`Suspend ${of.tenant}?`}
          text="Within a second all its connections are closed, and whatever its people and back ends ask is refused. Nothing is lost: you can let it go on here."
          action={`Suspend ${of.tenant}`}
          close={() => setAsking(false)}
          run={() => put(true, 'It is suspended, within a second on every gateway and publisher.')}
        />
      )}
    </Panel>
  )
}
