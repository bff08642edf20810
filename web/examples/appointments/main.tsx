// The panel of a photo studio: bell, appointments as they are booked, what its bots do, how much goes on.

import type { CarillonEvent } from '@carillon/client'
import { useLive } from '@carillon/react'
import { AnalyticsDashboard, Bell, LiveFeed, PresenceList, StatCards, Toaster } from '@carillon/ui'
import { useState } from 'react'
import { act, Header, showOne } from '../src/example.js'

interface Appointment {
  appointment: number
  client: string
  slot: string
  service?: string
  room?: string
  staff?: string
  reason?: string
  state: 'booked' | 'moved' | 'confirmed' | 'cancelled'
}
type Change = CarillonEvent<Record<string, Partial<Appointment> & { appointment: number }>>

const states: Record<string, Appointment['state']> = {
  'appointment.created': 'booked',
  'appointment.updated': 'moved',
  'appointment.confirmed': 'confirmed',
  'appointment.cancelled': 'cancelled',
}

/** The list after an event. It says what has changed; the rest stays. */
function applied(rows: readonly Appointment[], { type, data }: Change): readonly Appointment[] {
  const state = states[type]
  if (!state || typeof data?.appointment !== 'number') return rows
  const before = rows.find((row) => row.appointment === data.appointment)
  const after = { client: '?', slot: '?', ...before, ...data, state }
  return before ? rows.map((row) => (row === before ? after : row)) : [...rows, after]
}

function useAppointments() {
  return useLive<readonly Appointment[], Change['data']>(
    {
      key: ['appointments'],
      types: ['appointment.*'],
      // An application with a database loads its rows from there, and their position from the header that its server passes on.
      load: async ({ client }) => {
        const { events, position } = await client.channel('tenant').history({ limit: 1000, type: 'appointment.*' })
        return { value: (events as readonly Change[]).reduce(applied, []), position }
      },
    },
    (rows, event) => applied(rows, event as Change),
  )
}

const look = { booked: 'warn', moved: 'warn', confirmed: 'good', cancelled: 'bad' } as const

function Appointments() {
  const { status, value = [], patch } = useAppointments()
  const [isOpenOnly, setOpenOnly] = useState(true)
  const rows = value
    .filter(({ state }) => !isOpenOnly || state === 'booked' || state === 'moved')
    .toSorted((a, b) => b.appointment - a.appointment)
  const change = async (row: Appointment, action: 'confirm' | 'cancel') => {
    const state = action === 'confirm' ? 'confirmed' : 'cancelled'
    // Shown at once, and taken back if the server does not want it.
    const undo = patch((all) => all.map((one) => (one.appointment === row.appointment ? { ...one, state } : one)))
    await act(action, { appointment: row.appointment, client: row.client, slot: row.slot }).catch(undo)
  }
  return (
    <section className="panel" aria-busy={status === 'loading'}>
      <h2>Appointments</h2>
      <p>
        <button type="button" aria-pressed={isOpenOnly} onClick={() => setOpenOnly(!isOpenOnly)}>
          To be confirmed
        </button>{' '}
        {rows.length} of {value.length}
      </p>
      {status === 'failed' && <p>The appointments cannot be loaded now.</p>}
      <ul className="rows" data-testid="appointments">
        {rows.map((row) => (
          <li key={row.appointment}>
            <span className="grow">
              <strong>{row.client}</strong> {row.service}
              <br />
              <span className="note">
                {row.slot} {row.room && `· ${row.room}`} {row.staff && `· ${row.staff}`} {row.reason && `· ${row.reason}`}
              </span>
            </span>
            <span className={`tag ${look[row.state]}`}>{row.state}</span>
            {(row.state === 'booked' || row.state === 'moved') && (
              <>
                <button type="button" aria-label={`Confirm ${row.client}`} onClick={() => change(row, 'confirm')}>
                  Confirm
                </button>
                <button type="button" aria-label={`Cancel ${row.client}`} onClick={() => change(row, 'cancel')}>
                  Cancel
                </button>
              </>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}

/** What the Telegram bots do, in words. */
function told({ type, data }: CarillonEvent): string {
  const by = data?.client ?? 'Somebody'
  if (type === 'bot.message.received') return `${by}: ${data?.text}`
  if (type === 'bot.command.executed') return `${by} sent ${data?.command}`
  if (type === 'bot.booking.started') return `${by} chooses a time for ${data?.service ?? 'a visit'}`
  return `${by} has booked ${data?.slot ?? ''}`
}

const kinds = [
  { type: 'appointment.created', label: 'New appointments' },
  { type: 'appointment.updated', label: 'Moved appointments' },
  { type: 'appointment.cancelled', label: 'Cancelled appointments' },
]

showOne(
  <>
    <Header title="Appointments" subtitle="Studio Nova">
      <PresenceList channel="tenant" limit={5} />
      <Bell kinds={kinds} />
    </Header>
    <main className="columns">
      <div className="wide">
        <StatCards />
      </div>
      <Appointments />
      <LiveFeed pattern="bot.*" channel="tenant" history={30} describe={told} />
      <AnalyticsDashboard query={{ by: 'type' }} every={10_000} />
    </main>
    <Toaster />
  </>,
)
