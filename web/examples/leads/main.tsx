// The dashboard of a marketing team: leads and what they write, how far campaigns are, who types, toasts for what matters.

import type { CarillonEvent, Signal } from '@carillon/client'
import { useClient, useEvents, useLive, useTyping } from '@carillon/react'
import { Bell, PresenceList, StatCards, Toaster, TypingLine } from '@carillon/ui'
import { useEffect, useState } from 'react'
import { act, clock, Header, showOne } from '../src/example.js'

// ---------------------------------------------------------------------------------------------------- campaigns

interface Campaign {
  campaign: number
  name: string
  total: number
  sent: number
  failed: number
  percent: number
  state: string
}
type CampaignEvent = CarillonEvent<Record<string, Campaign>>

/** Each event says all of its campaign. */
function withCampaign(all: readonly Campaign[], { type, data }: CampaignEvent): readonly Campaign[] {
  if (typeof data?.campaign !== 'number') return all
  const others = all.filter(({ campaign }) => campaign !== data.campaign)
  return [...others, { ...data, state: type.slice('campaign.'.length) }]
}

function Campaigns() {
  const { status, value = [] } = useLive<readonly Campaign[], Campaign>(
    {
      key: ['campaigns'],
      types: ['campaign.*'],
      load: async ({ client }) => {
        const { events, position } = await client.channel('tenant').history({ limit: 300, type: 'campaign.*' })
        return { value: (events as readonly CampaignEvent[]).reduce(withCampaign, []), position }
      },
    },
    (all, event) => withCampaign(all, event as CampaignEvent),
  )
  return (
    <section className="panel" aria-busy={status === 'loading'}>
      <h2>Campaigns</h2>
      <ul className="rows" data-testid="campaigns">
        {value
          .toSorted((a, b) => b.campaign - a.campaign)
          .slice(0, 6)
          .map(({ campaign, name, state, total, sent, failed, percent }) => (
            <li key={campaign}>
              <strong className="grow">{name}</strong>
              <span className={`tag ${state === 'failed' ? 'bad' : state === 'completed' ? 'good' : 'warn'}`}>{state}</span>
              <progress aria-label={`Progress of ${name}`} max={100} value={percent} />
              <span className="note">
                {sent} of {total} sent{failed > 0 && `, ${failed} failed`}
              </span>
            </li>
          ))}
      </ul>
    </section>
  )
}

// -------------------------------------------------------------------------------------------------------- leads

interface Lead {
  lead: number
  name: string
  owner?: string
  value?: number
  text?: string
  from?: string
  state: 'new' | 'assigned' | 'waits' | 'answered' | 'won'
  at: string
}
type LeadEvent = CarillonEvent<
  Record<string, { lead: number; name?: string; to?: string; from?: string; text?: string; value?: number }>
>

const leadStates: Record<string, Lead['state']> = {
  'lead.created': 'new',
  'lead.assigned': 'assigned',
  'message.received': 'waits',
  'message.sent': 'answered',
  'lead.converted': 'won',
}

function withLead(all: readonly Lead[], { type, data, time }: LeadEvent): readonly Lead[] {
  const state = leadStates[type]
  if (!state || typeof data?.lead !== 'number') return all
  const before = all.find(({ lead }) => lead === data.lead)
  const name = data.name ?? before?.name ?? (state === 'waits' ? data.from : undefined) ?? `Lead ${data.lead}`
  const { to: owner = before?.owner, ...said } = data
  const after: Lead = { ...before, ...said, ...(owner && { owner }), name, state, at: time }
  return [...all.filter((one) => one !== before), after]
}

function useLeads() {
  return useLive<readonly Lead[], LeadEvent['data']>(
    {
      key: ['leads'],
      types: ['lead.*', 'message.*'],
      load: async ({ client }) => {
        const { events, position } = await client.channel('role:ADMIN').history({ limit: 1000 })
        return { value: (events as readonly LeadEvent[]).reduce(withLead, []), position }
      },
    },
    (all, event) => withLead(all, event as LeadEvent),
  )
}

function Leads({ value }: { value: readonly Lead[] }) {
  return (
    <section className="panel">
      <h2>Leads</h2>
      <ul className="rows" data-testid="leads">
        {value
          .toSorted((a, b) => b.at.localeCompare(a.at))
          .slice(0, 50)
          .map((lead) => (
            <li key={lead.lead}>
              <span className="grow">
                <strong>{lead.name}</strong> {lead.owner && <span className="note">with {lead.owner}</span>}
                <br />
                <span className="note">
                  {lead.from && `${lead.from}: `}
                  {lead.text ?? 'no message yet'}
                </span>
              </span>
              <span className={`tag ${lead.state === 'won' ? 'good' : lead.state === 'waits' ? 'bad' : ''}`}>{lead.state}</span>
              <span className="note">{clock(lead.at)}</span>
              {lead.state === 'waits' && (
                <button
                  type="button"
                  aria-label={`Answer ${lead.name}`}
                  onClick={() => act('answer', { lead: lead.lead, text: 'I will call you at three.' })}
                >
                  Answer
                </button>
              )}
            </li>
          ))}
      </ul>
    </section>
  )
}

// --------------------------------------------------------------------------------------------------------- team

type Note = Signal<{ note: { text: string } }, 'note'>

/** What the team says to who is there now: signals, in no log. */
function Team() {
  const client = useClient<{ note: { text: string } }>()
  const { start, stop } = useTyping('tenant')
  const [notes, setNotes] = useState<readonly Note[]>([])
  const [text, setText] = useState('')
  const [problem, setProblem] = useState('')
  useEffect(() => client.channel('tenant').onSignal('note', (note) => setNotes((all) => [...all, note].slice(-30))), [client])
  const say = () => {
    stop()
    if (!text.trim()) return
    setText('')
    client
      .channel('tenant')
      .publish('note', { text }, { ephemeral: true, echo: true })
      .then(
        () => setProblem(''),
        (error: Error) => setProblem(error.message),
      )
  }
  return (
    <section className="panel">
      <h2>Team</h2>
      <ul className="rows" data-testid="notes">
        {notes.map((note, at) => (
          <li key={at}>
            <strong>{note.from}</strong> <span className="grow">{note.data.text}</span>
          </li>
        ))}
      </ul>
      <TypingLine channel="tenant" />
      <form
        onSubmit={(event) => {
          event.preventDefault()
          say()
        }}
      >
        <input
          aria-label="Message to the team"
          placeholder="Write to who is here"
          value={text}
          onChange={(event) => {
            setText(event.target.value)
            start()
          }}
        />
        <button type="submit">Send</button>
      </form>
      {problem && <p role="alert">{problem}</p>}
    </section>
  )
}

function Dashboard() {
  const { value = [], status } = useLeads()
  const messages = useEvents('message.received', { limit: 1000 })
  return (
    <main className="columns" aria-busy={status === 'loading'}>
      <div className="wide">
        <StatCards
          cards={[
            { label: 'Leads', value: value.length },
            { label: 'Waiting for an answer', value: value.filter(({ state }) => state === 'waits').length },
            { label: 'Won', value: value.filter(({ state }) => state === 'won').length },
            { label: 'Messages since you came', value: messages.length },
          ]}
        />
      </div>
      <Leads value={value} />
      <Campaigns />
      <Team />
    </main>
  )
}

showOne(
  <>
    <Header title="Leads" subtitle="North Leads">
      <PresenceList channel="tenant" limit={5} />
      <Bell />
    </Header>
    <Dashboard />
    <Toaster />
  </>,
)
