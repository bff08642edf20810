// What may somebody do in a channel, which rule decides that, and why?

import { get } from '../../api.js'
import { useAsk } from '../../ask.js'
import { faultOf } from '../../parts/faults.js'
import { Filter } from '../../parts/fields.js'
import { Panel } from '../../parts/page.js'
import { Answer } from '../../parts/states.js'
import { Link, useParams } from '../../route.js'
import { useMay } from '../../session.js'
import type { Tried } from '../rules/shapes.js'
import { Allowed } from '../rules/tester.js'

/** Stands for a person without a name and a role: what everybody may. */
const ANYBODY = 'somebody'

export function May({ user, channel }: { user?: string; channel?: string }) {
  const mayAdmin = useMay('admin')
  const [query, change] = useParams()
  const who = user ?? (query.get('who') || ANYBODY)
  const where = channel ?? query.get('in') ?? ''
  const roles = query.get('roles') ?? ''
  const asked = { user: who, channel: where, roles }
  const tried = useAsk(mayAdmin && where ? `may ${JSON.stringify(asked)}` : null, (signal) =>
    get<Tried>('/v1/channel-rules/test', { query: asked, signal }),
  )
  return (
    <Panel
      title="Rules"
      note="what they may by the rules, whatever their token says besides"
      actions={<Link to="/rules">All rules</Link>}
    >
      {mayAdmin ? (
        <div className="form">
          <div className="fields">
            {user === undefined ? (
              <Filter
                label="Person"
                value={query.get('who') ?? ''}
                placeholder="anybody"
                onChange={(text) => change({ who: text.trim() })}
                fault={faultOf(tried.problem, 'user')}
              />
            ) : (
              <Filter
                label="In the channel"
                value={where}
                placeholder="order:17"
                onChange={(text) => change({ in: text.trim() })}
                fault={faultOf(tried.problem, 'channel')}
              />
            )}
            <Filter
              label="Roles of theirs"
              value={roles}
              placeholder="desk, head"
              onChange={(text) => change({ roles: text.trim() })}
              fault={faultOf(tried.problem, 'roles')}
            />
          </div>
          {where ? (
            <Answer of={tried} what="the rule">
              {(answer) => <Allowed answer={answer} user={who} />}
            </Answer>
          ) : (
            <p className="help">Name a channel: which rule decides about it, and what it lets {who} do there, is shown here.</p>
          )}
        </div>
      ) : (
        <p className="note">Rules are for administrators.</p>
      )}
    </Panel>
  )
}
