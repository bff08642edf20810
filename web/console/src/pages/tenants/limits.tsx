// How much may a tenant have and do, and who says so?

import { type FormEvent, useState } from 'react'
import { useAct } from '../../parts/act.js'
import { faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Panel } from '../../parts/page.js'
import { Link } from '../../route.js'
import { useIsForAllTenants } from '../../session.js'
import { type Limit, type Limits, limits, type Settings, set } from './shapes.js'

const textsOf = (of: Limits | undefined) =>
  Object.fromEntries(limits.map(([name]) => [name, of?.[name] ? `${of[name]}` : ''])) as Record<Limit, string>

export function LimitsForm({ of, changed }: { of: Settings; changed: (settings: Settings) => void }) {
  const isForAll = useIsForAllTenants()
  const [texts, setTexts] = useState(textsOf(of.limits))
  const act = useAct()
  const before = textsOf(of.limits)
  const isSame = limits.every(([name]) => texts[name].trim() === before[name])
  // What is no number goes as it is: the answer says what is wrong with it, at its field.
  const numberOf = (text: string) => (text.trim() === '' ? null : /^\d{1,9}$/.test(text.trim()) ? Number(text) : text.trim())
  const save = (event: FormEvent) => {
    event.preventDefault()
    void act.run(async () => {
      const body = Object.fromEntries(limits.map(([name]) => [name, numberOf(texts[name])]))
      const isNone = Object.values(body).every((value) => value === null)
      const answer = await set(of.tenant, { limits: isNone ? null : body })
      setTexts(textsOf(answer.limits))
      changed(answer)
      return 'The limits hold, within a second on every gateway and publisher.'
    })
  }
  return (
    <Panel
      title="Limits"
      note="over all gateways and publishers together"
      actions={
        <Link to="/audit" with={{ action: 'limits' }}>
          History
        </Link>
      }
    >
      <form className="form" onSubmit={save}>
        <div className="fields">
          {limits.map(([name, label, help]) => (
            <Field
              key={name}
              label={label}
              value={texts[name]}
              inputMode="numeric"
              placeholder="no limit"
              readOnly={!isForAll}
              onChange={(text) => setTexts({ ...texts, [name]: text })}
              help={help}
              fault={faultOf(act.problem, `/limits/${name}`)}
            />
          ))}
        </div>
        {isForAll ? (
          <>
            <p className="help">
              1 to 1,000,000; empty is without a limit. Beyond one, a connection or a request is refused with 429; connections
              that are there stay.
            </p>
            <Outcome of={act} placed={limits.map(([name]) => `/limits/${name}`)} />
            <div className="row end">
              <button type="button" disabled={isSame} onClick={() => setTexts(before)}>
                Undo
              </button>
              <button type="submit" className="primary" disabled={isSame || act.isRunning}>
                Save limits
              </button>
            </div>
          </>
        ) : (
          <p className="note">Whoever runs the installation sets these, with an API key for all tenants.</p>
        )}
      </form>
    </Panel>
  )
}
