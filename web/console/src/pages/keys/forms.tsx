// How is a key made, changed and replaced?

import { type FormEvent, type ReactNode, useId, useState } from 'react'
import { type Act, useAct } from '../../parts/act.js'
import { Dialog } from '../../parts/dialog.js'
import { faultOf } from '../../parts/faults.js'
import { Field, Select } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { useSession } from '../../session.js'
import { type Asks, changeKey, type Key, type MadeKey, makeKey, rotateKey, type Scope, scopes } from './shapes.js'

const DAY = 86_400

/** A form in a dialog: what is asked, what went wrong, and two buttons. */
function Form({
  title,
  action,
  act,
  at,
  close,
  send,
  isReady = true,
  children,
}: {
  title: string
  action: string
  act: Act
  at: readonly string[]
  close: () => void
  send: (asks: Asks) => void
  isReady?: boolean
  children: ReactNode
}) {
  const now = useSession()
  const isKept = now.status === 'in' && now.who.kept
  const [key, setKey] = useState('')
  const submit = (event: FormEvent) => {
    event.preventDefault()
    send(isKept ? { key: key.trim() } : {})
  }
  return (
    <Dialog title={title} close={close}>
      <form className="form" onSubmit={submit}>
        {children}
        {isKept && (
          <Field
            label="Your API key"
            type="password"
            value={key}
            onChange={setKey}
            required
            autoComplete="off"
            help="A session makes and changes no keys, for those would outlive it. It is sent with this request alone."
          />
        )}
        <Outcome of={act} placed={at} />
        <div className="row end">
          <button type="button" onClick={close}>
            Cancel
          </button>
          <button type="submit" className="primary" disabled={act.isRunning || !isReady}>
            {act.isRunning ? 'One moment…' : action}
          </button>
        </div>
      </form>
    </Dialog>
  )
}

const terms: readonly (readonly [string, string])[] = [
  ['never', 'Never'],
  ['30', 'In 30 days'],
  ['90', 'In 90 days'],
  ['365', 'In a year'],
  ['date', 'On a date…'],
]

const endOf = (term: string, date: string): string | undefined =>
  term === 'never'
    ? undefined
    : term === 'date'
      ? date && new Date(date).toISOString()
      : new Date(Date.now() + Number(term) * DAY * 1000).toISOString()

function Ends({
  term,
  date,
  fault,
  setTerm,
  setDate,
}: {
  term: string
  date: string
  fault: string | null
  setTerm: (term: string) => void
  setDate: (date: string) => void
}) {
  return (
    <div className="fields">
      <Select label="It ends" value={term} onChange={setTerm} options={terms} />
      {term === 'date' && (
        <Field label="Date and time" type="datetime-local" value={date} onChange={setDate} required fault={fault} />
      )}
      {term !== 'date' && fault && <p className="fault">{fault}</p>}
    </div>
  )
}

export function NewKey({ owner, close, done }: { owner: string; close: () => void; done: (made: MadeKey) => void }) {
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<readonly Scope[]>(['publish'])
  const [term, setTerm] = useState('never')
  const [date, setDate] = useState('')
  const act = useAct()
  const id = useId()
  const toggle = (scope: Scope, is: boolean) =>
    setChosen((before) => scopes.map(([name]) => name).filter((name) => (name === scope ? is : before.includes(name))))
  const send = (asks: Asks) =>
    void act.run(async () => {
      done(
        await makeKey(owner, { scopes: chosen, ...(name.trim() && { name: name.trim() }), expires_at: endOf(term, date) }, asks),
      )
      return undefined
    })
  return (
    <Form
      title={owner === '*' ? 'New key for all tenants' : `New key for ${owner}`}
      action="Make the key"
      act={act}
      at={['/name', '/expires_at', '/scopes']}
      close={close}
      send={send}
      isReady={chosen.length > 0}
    >
      <Field
        label="Name"
        value={name}
        onChange={setName}
        maxLength={128}
        placeholder="shop back end"
        help="What it is for: it stands in this list and in the audit."
        fault={faultOf(act.problem, '/name')}
      />
      <fieldset className="scopes" aria-describedby={chosen.length === 0 ? `${id}-none` : undefined}>
        <legend>What it may do</legend>
        {scopes.map(([scope, text]) => (
          <label key={scope} className="check">
            <input type="checkbox" checked={chosen.includes(scope)} onChange={({ target }) => toggle(scope, target.checked)} />
            <span>
              {scope}
              <small>{text}</small>
            </span>
          </label>
        ))}
        {(chosen.length === 0 || faultOf(act.problem, '/scopes')) && (
          <p id={`${id}-none`} className="fault">
            {faultOf(act.problem, '/scopes') ?? 'Choose at least one.'}
          </p>
        )}
      </fieldset>
      <Ends term={term} date={date} setTerm={setTerm} setDate={setDate} fault={faultOf(act.problem, '/expires_at')} />
    </Form>
  )
}

const local = (time: string) => {
  const at = new Date(time)
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

export function EditKey({ owner, of: key, close, done }: { owner: string; of: Key; close: () => void; done: () => void }) {
  const [name, setName] = useState(key.name ?? '')
  const [term, setTerm] = useState(key.expires_at ? 'date' : 'never')
  const before = key.expires_at ? local(key.expires_at) : ''
  const [date, setDate] = useState(before)
  const act = useAct()
  // The field has whole minutes: what was not touched stays to the millisecond.
  const end = term === 'date' && date === before ? key.expires_at : endOf(term, date)
  const send = (asks: Asks) =>
    void act.run(async () => {
      await changeKey(owner, key.id, { ...(name.trim() && { name: name.trim() }), ...(end && { expires_at: end }) }, asks)
      done()
      return undefined
    })
  return (
    <Form title={`Change ${key.name ?? key.id}`} action="Save" act={act} at={['/name', '/expires_at']} close={close} send={send}>
      <Field label="Name" value={name} onChange={setName} maxLength={128} fault={faultOf(act.problem, '/name')} />
      <Ends term={term} date={date} setTerm={setTerm} setDate={setDate} fault={faultOf(act.problem, '/expires_at')} />
      {key.replaced_by && <p className="help">It was replaced: it ends no later than it would have.</p>}
    </Form>
  )
}

const overlaps: readonly (readonly [string, string])[] = [
  ['0', 'It ends at once'],
  ['3600', 'An hour'],
  [`${DAY}`, 'A day'],
  [`${7 * DAY}`, 'A week'],
  [`${30 * DAY}`, '30 days'],
]

export function RotateKey({
  owner,
  of: key,
  isOwn,
  close,
  done,
}: {
  owner: string
  of: Key
  isOwn: boolean
  close: () => void
  done: (made: MadeKey) => void
}) {
  const [overlap, setOverlap] = useState(`${DAY}`)
  const act = useAct()
  const send = (asks: Asks) =>
    void act.run(async () => {
      done(await rotateKey(owner, key.id, Number(overlap), asks))
      return undefined
    })
  return (
    <Form
      title={`Rotate ${key.name ?? key.id}`}
      action="Make the new key"
      act={act}
      at={['/overlap_seconds']}
      close={close}
      send={send}
    >
      <p>
        A new key that may do the same is made. Both work for the overlap, so that nothing fails while you put the new one in
        place.
      </p>
      <Select label="The key before goes on for" value={overlap} onChange={setOverlap} options={overlaps} />
      {faultOf(act.problem, '/overlap_seconds') && <p className="fault">{faultOf(act.problem, '/overlap_seconds')}</p>}
      {overlap === '0' && (
        <p className="note warn">
          Whoever still uses it is refused within ten seconds.
          {isOwn && ' You are signed in with this key: you will be signed out.'}
        </p>
      )}
    </Form>
  )
}
