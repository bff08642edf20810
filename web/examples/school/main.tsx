// The page of a director with three schools: all of them are heard at once, one is looked at, and some notices must be confirmed.

import type { CarillonEvent, Client, InboxItem } from '@carillon/client'
import { CarillonProvider, useInbox, useUnreadCount } from '@carillon/react'
import { Bell, Inbox, LiveFeed, Toaster } from '@carillon/ui'
import { useState } from 'react'
import { act, clock, Header, show } from '../src/example.js'

const names: Record<string, string> = {
  'linden-school': 'Linden School',
  'birch-school': 'Birch School',
  'maple-school': 'Maple School',
}
const nameOf = (tenant: string) => names[tenant] ?? tenant

const mustConfirm = (item: InboxItem) => item.requires_ack && !item.acked_at

/** What of one school waits for the director's word. It stands under the provider of that school. */
function ToConfirm({ tenant }: { tenant: string }) {
  const { items, inbox, error } = useInbox({ limit: 100 })
  const [problem, setProblem] = useState('')
  return (
    <>
      {items.filter(mustConfirm).map((item) => (
        <li key={item.seq}>
          <span className="grow">
            <strong>{item.title}</strong>
            <br />
            <span className="note">
              {nameOf(tenant)} · {clock(item.time)} {item.body && `· ${item.body}`}
            </span>
          </span>
          <button
            type="button"
            aria-label={`Confirm ${item.title}`}
            onClick={() => inbox.ack(item.seq).catch((fault: Error) => setProblem(fault.message))}
          >
            Confirm
          </button>
        </li>
      ))}
      {(problem || error) && (
        <li role="alert">
          {nameOf(tenant)}: {problem || error?.message}
        </li>
      )}
    </>
  )
}

/** The button of a school, with what is unread there. */
function School({ tenant, isChosen, onChoose }: { tenant: string; isChosen: boolean; onChoose: () => void }) {
  const unread = useUnreadCount()
  return (
    <button type="button" aria-pressed={isChosen} onClick={onChoose}>
      {nameOf(tenant)} {unread ? <span className="tag bad">{unread > 99 ? '99+' : unread}</span> : null}
    </button>
  )
}

function told({ type, data }: CarillonEvent): string {
  if (type === 'fee_assignment_created') return `${data.student}, ${data.class}: ${data.what}, ${data.amount} € until ${data.due}`
  if (type === 'fee_reminder_sent') return `${data.student} was reminded of ${data.what}`
  if (type === 'payment_received') return `${data.student} has paid ${data.amount} € for ${data.what}`
  if (type.startsWith('approval_request_'))
    return `Request ${data.request}, ${data.what}: ${type.slice('approval_request_'.length)}`
  return type.replaceAll('_', ' ')
}

/** A notice to the staff of the school that is looked at. */
function Write({ tenant }: { tenant: string }) {
  const [title, setTitle] = useState('')
  const [said, setSaid] = useState('')
  return (
    <section className="panel">
      <h2>To the staff of {nameOf(tenant)}</h2>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          act('notice', { tenant, title }).then(
            () => {
              setTitle('')
              setSaid('Sent. Everyone is asked to confirm it.')
            },
            (error: Error) => setSaid(error.message),
          )
        }}
      >
        <input aria-label="Notice" required maxLength={256} value={title} onChange={(event) => setTitle(event.target.value)} />
        <button type="submit">Send</button>
      </form>
      <output>{said}</output>
    </section>
  )
}

const kinds = [
  { type: 'notice', label: 'Notices' },
  { type: 'approval_request_*', label: 'Requests' },
]

function Director({ schools }: { schools: readonly { tenant: string; client: Client }[] }) {
  const [at, setAt] = useState(0)
  const chosen = schools[at]
  if (!chosen) return <p>There is no school.</p>
  const { tenant, client } = chosen
  return (
    <>
      <CarillonProvider client={client}>
        <Header title="Director" subtitle={nameOf(tenant)}>
          <Bell key={tenant} kinds={kinds} />
        </Header>
      </CarillonProvider>
      <main className="columns">
        <nav className="wide" aria-label="Schools">
          {schools.map((school, n) => (
            <CarillonProvider key={school.tenant} client={school.client}>
              <School tenant={school.tenant} isChosen={n === at} onChoose={() => setAt(n)} />{' '}
            </CarillonProvider>
          ))}
        </nav>
        <section className="panel">
          <h2>To be confirmed, in all schools</h2>
          <ul className="rows" data-testid="to-confirm">
            {schools.map((school) => (
              <CarillonProvider key={school.tenant} client={school.client}>
                <ToConfirm tenant={school.tenant} />
              </CarillonProvider>
            ))}
          </ul>
        </section>
        <CarillonProvider key={tenant} client={client}>
          <Inbox kinds={kinds} />
          <div className="stack">
            <Write tenant={tenant} />
            <LiveFeed channel="role:director" history={30} describe={told} />
          </div>
        </CarillonProvider>
      </main>
      {schools.map((school) => (
        <CarillonProvider key={school.tenant} client={school.client}>
          <Toaster />
        </CarillonProvider>
      ))}
    </>
  )
}

show((clients, { tenants }) => (
  <Director schools={clients.flatMap((client, n) => (tenants[n] ? [{ tenant: tenants[n], client }] : []))} />
))
