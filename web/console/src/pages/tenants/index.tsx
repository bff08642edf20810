// What may a tenant have and do, what does it use, and where is its application asked?

import { useState } from 'react'
import { useAsk } from '../../ask.js'
import '../../parts/list.css'
import { ForAdministrators } from '../../parts/more.js'
import { Page } from '../../parts/page.js'
import { Answer } from '../../parts/states.js'
import { useMay } from '../../session.js'
import { useChosenTenant } from '../../tenant.js'
import { Application } from './application.js'
import { LimitsForm } from './limits.js'
import { type Settings, settings, use } from './shapes.js'
import { Suspension } from './suspension.js'
import './tenants.css'
import { Usage } from './usage.js'

export default function Tenants() {
  const tenant = useChosenTenant()
  const mayAdmin = useMay('admin')
  const now = useAsk(`use ${tenant}`, (signal) => use(tenant, signal), { every: 2000 })
  const stored = useAsk(mayAdmin ? `settings ${tenant}` : null, (signal) => settings(tenant, signal))
  // The answer to a change is newer than what was read.
  const [latest, setLatest] = useState<Settings | null>(null)
  return (
    <Page title="Tenants and limits" lead={`What ${tenant} uses now, how much it may, and where its application is asked.`}>
      <Usage of={now} limits={(latest ?? stored.value)?.limits} />
      {mayAdmin ? (
        <Answer of={stored} what="the settings">
          {(read) => {
            const of = latest ?? read
            return (
              <div className="columns">
                <LimitsForm of={of} changed={setLatest} />
                <Application of={of} changed={setLatest} />
                <Suspension of={of} changed={setLatest} />
              </div>
            )
          }}
        </Answer>
      ) : (
        <ForAdministrators what="Settings of a tenant" />
      )}
    </Page>
  )
}
