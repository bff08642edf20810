// The front desk of a wellness company: which staff are free (the latest value of each), who has checked in, branch by branch.

import type { CarillonEvent } from '@carillon/client'
import { useChannel, useLive } from '@carillon/react'
import { Bell, LiveFeed, Toaster } from '@carillon/ui'
import { useState } from 'react'
import { act, clock, Header, showOne } from '../src/example.js'

// -------------------------------------------------------------------------------------------------- who is free

const shifts = ['free', 'busy', 'on break'] as const
interface Staff {
  staff: string
  state: string
  since: string
}
type StaffEvent = CarillonEvent<Record<string, { staff: string; state: string } | null>>

/** An event is the latest value of its key; no data takes the value away. */
function withValue(all: readonly Staff[], { latestkey, data, time }: StaffEvent): readonly Staff[] {
  if (!latestkey) return all
  const others = all.filter((one) => one.staff !== latestkey)
  return data ? [...others, { staff: latestkey, state: data.state, since: time }] : others
}

function useStaff() {
  return useLive<readonly Staff[], StaffEvent['data']>(
    {
      key: ['staff'],
      channels: ['staff'],
      types: ['staff.*'],
      // One value for each person, however many changes there were.
      load: async ({ client }) => {
        const { events, position } = await client.channel('staff').latest()
        return { value: (events as readonly StaffEvent[]).reduce(withValue, []), position }
      },
    },
    (all, event) => withValue(all, event as StaffEvent),
  )
}

const look: Record<string, string> = { free: 'good', busy: 'bad', 'on break': 'warn' }

function StaffList() {
  const { status, value = [] } = useStaff()
  return (
    <section className="panel" aria-busy={status === 'loading'}>
      <h2>Staff</h2>
      <p>{value.filter(({ state }) => state === 'free').length} free now</p>
      <ul className="rows" data-testid="staff">
        {value
          .toSorted((a, b) => a.staff.localeCompare(b.staff))
          .map(({ staff, state, since }) => (
            <li key={staff}>
              <strong className="grow">{staff}</strong>
              <span className={`tag ${look[state] ?? ''}`}>{state}</span>
              <span className="note">since {clock(since)}</span>
              <select
                aria-label={`State of ${staff}`}
                value={state}
                onChange={(event) => act('shift', { staff, state: event.target.value })}
              >
                {!shifts.some((one) => one === state) && <option>{state}</option>}
                {shifts.map((one) => (
                  <option key={one}>{one}</option>
                ))}
              </select>
            </li>
          ))}
      </ul>
    </section>
  )
}

// ------------------------------------------------------------------------------------------------------- visits

interface Visit {
  visit: number
  client: string
  branch: string
  service?: string
  staff?: string
  slot?: string
  amount?: number
  stage: string
}
type VisitEvent = CarillonEvent<Record<string, Partial<Visit> & { visit: number }>>

const stages: Record<string, string> = {
  'appointment.created': 'expected',
  'appointment.confirmed': 'expected',
  'client.checked_in': 'here',
  'appointment.completed': 'to pay',
  'payment.received': 'paid',
  'client.checked_out': 'gone',
}

function moved(visits: readonly Visit[], { type, data }: VisitEvent): readonly Visit[] {
  const stage = stages[type]
  if (!stage || typeof data?.visit !== 'number') return visits
  const before = visits.find(({ visit }) => visit === data.visit)
  const others = visits.filter((one) => one !== before)
  return stage === 'gone' ? others : [...others, { client: '?', branch: '?', ...before, ...data, stage }]
}

const branches = [
  { id: 'harbour', name: 'Harbour Street' },
  { id: 'garden', name: 'Garden Square' },
]

function Visits({ branch }: { branch: string }) {
  const channel = `branch:${branch}`
  const { status: joined, error } = useChannel(channel)
  const { status, value = [] } = useLive<readonly Visit[], VisitEvent['data']>(
    {
      key: ['visits', branch],
      channels: [channel],
      load: async ({ client }) => {
        const { events, position } = await client.channel(channel).history({ limit: 500 })
        return { value: (events as readonly VisitEvent[]).reduce(moved, []), position }
      },
    },
    // Events of other branches reach the same client, and do not belong here.
    (visits, event) => (event.channels.includes(channel) ? moved(visits, event as VisitEvent) : visits),
  )
  if (joined === 'refused') return <p>{error?.message}</p>
  return (
    <div className="board" aria-busy={status === 'loading'}>
      {['expected', 'here', 'to pay', 'paid'].map((stage) => {
        const there = value.filter((visit) => visit.stage === stage).toSorted((a, b) => b.visit - a.visit)
        return (
          <section key={stage} data-testid={stage}>
            <h3>
              {stage} <span className="note">{there.length}</span>
            </h3>
            <ul className="rows">
              {there.map((visit) => (
                <li key={visit.visit}>
                  <span className="grow">
                    {visit.client}
                    <br />
                    <span className="note">{[visit.service, visit.staff, visit.slot].filter(Boolean).join(' · ')}</span>
                  </span>
                  {stage === 'expected' && (
                    <button type="button" aria-label={`Check in ${visit.client}`} onClick={() => act('check-in', visit)}>
                      Check in
                    </button>
                  )}
                  {stage === 'paid' && (
                    <button type="button" aria-label={`Check out ${visit.client}`} onClick={() => act('check-out', visit)}>
                      Check out
                    </button>
                  )}
                </li>
              ))}
            </ul>
          </section>
        )
      })}
    </div>
  )
}

function told({ type, data }: CarillonEvent): string {
  if (type === 'inventory.low') return `${data.item}: ${data.left} left at ${data.branch}`
  if (type === 'security.alert') return `${data.branch}: ${data.what}`
  return data?.text ?? type
}

function FrontDesk() {
  const [branch, setBranch] = useState('harbour')
  return (
    <main className="columns">
      <section className="panel wide">
        <h2>Visits</h2>
        <p>
          {branches.map(({ id, name }) => (
            <button type="button" key={id} aria-pressed={id === branch} onClick={() => setBranch(id)}>
              {name}
            </button>
          ))}
        </p>
        <Visits branch={branch} />
      </section>
      <StaffList />
      <LiveFeed pattern="announcement.*" channel="tenant" history={20} describe={told} localization={{ live: 'Announcements' }} />
      <LiveFeed
        pattern="*"
        channel={`branch:${branch}`}
        limit={20}
        describe={({ type, data }) => `${type} ${data?.client ?? data?.item ?? ''}`}
      />
    </main>
  )
}

showOne(
  <>
    <Header title="Front desk" subtitle="Verde Wellness">
      <Bell />
    </Header>
    <FrontDesk />
    <Toaster />
  </>,
)
