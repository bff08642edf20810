// How is a test event sent to whoever is looked at?

import { type FormEvent, useState } from 'react'
import { useAct } from '../../parts/act.js'
import { Area } from '../../parts/area.js'
import { Dialog } from '../../parts/dialog.js'
import { faultOf } from '../../parts/faults.js'
import { Field } from '../../parts/fields.js'
import { Outcome } from '../../parts/outcome.js'
import { Link } from '../../route.js'
import { useMay } from '../../session.js'
import { publish, type Receipt } from './shapes.js'

interface SendProps {
  /** Fields of the event that say whom it is for. */
  readonly to: { readonly users?: readonly string[]; readonly channel?: string; readonly tenant_wide?: true }
  readonly name: string
  /** The person the question "why?" is about. */
  readonly user?: string
  readonly after?: () => void
}

export function Send(props: SendProps) {
  const [isOpen, open] = useState(false)
  const may = useMay('publish')
  return (
    <>
      <button
        type="button"
        disabled={!may}
        title={may ? undefined : 'These credentials may not publish'}
        onClick={() => open(true)}
      >
        Send a test
      </button>
      {isOpen && <SendForm {...props} close={() => open(false)} />}
    </>
  )
}

function SendForm({ to, name, user, after, close }: SendProps & { close: () => void }) {
  const [type, setType] = useState('console.test')
  const [data, setData] = useState('{"text": "A test from the console"}')
  const [wrong, setWrong] = useState<string | null>(null)
  const [receipt, setReceipt] = useState<Receipt | null>(null)
  const act = useAct()
  const send = (event: FormEvent) => {
    event.preventDefault()
    let parsed: unknown
    try {
      parsed = data.trim() ? JSON.parse(data) : undefined
    } catch (error) {
      setWrong(`This is no JSON: ${(error as Error).message}`)
      return
    }
    setWrong(null)
    void act.run(async () => {
      const sent = await publish({ ...to, type: type.trim(), source: 'console', data: parsed })
      setReceipt(sent)
      after?.()
      return `It was committed as number ${sent.seq} of the log.`
    })
  }
  return (
    <Dialog title={`Send a test to ${name}`} close={close}>
      <form className="form" onSubmit={send}>
        <p>It is an event like any other: it stands in the log, and whoever listens gets it.</p>
        <Field label="Type" value={type} onChange={setType} required fault={faultOf(act.problem, '/type')} />
        <Area
          label="Data (JSON)"
          value={data}
          onChange={setData}
          rows={5}
          className="mono"
          fault={wrong ?? faultOf(act.problem, '/data')}
        />
        <Outcome of={act} placed={['/type', '/data']} />
        {receipt && (
          <p className="row">
            <Link to="/why" with={{ event: receipt.id, ...(user && { user }) }}>
              Who got it?
            </Link>
          </p>
        )}
        <div className="row end">
          <button type="button" onClick={close}>
            Close
          </button>
          <button type="submit" className="primary" disabled={act.isRunning || !type.trim()}>
            {act.isRunning ? 'Sending…' : receipt ? 'Send another' : 'Send'}
          </button>
        </div>
      </form>
    </Dialog>
  )
}
