// The panel of an appointments bot: what the bot and the back office do, at once and after a reload.

import { useLive } from '@carillon/react'
import { AnalyticsDashboard, LiveFeed, PresenceList, StatCards } from '@carillon/ui'
import { api, begin, me } from '../page.js'

interface Appointment {
  id: number
  client: string
  at: string
  state: 'pending' | 'confirmed' | 'cancelled'
}

function Panel() {
  const { status, value = [] } = useLive<Appointment[], Appointment>(
    { key: ['appointments'], types: ['appointment.*'], load: () => api('GET', '/api/appointments') },
    (rows, { data }) => [...rows.filter((row) => row.id !== data.id), data],
  )
  const rows = [...value].sort((a, b) => a.at.localeCompare(b.at) || a.id - b.id)
  const count = (state: Appointment['state']) => rows.filter((row) => row.state === state).length
  return (
    <>
      <section className="card" aria-busy={status === 'loading'} aria-labelledby="today">
        <h2 id="today">Today</h2>
        <ul>
          {rows.map(({ id, at, client, state }) => (
            <li key={id} data-state={state}>
              <span>{`${at} ${client}`}</span>
              <span>{state}</span>
              {state === 'pending' && (
                <button type="button" onClick={() => api('POST', '/api/confirm', { id })}>
                  Confirm
                </button>
              )}
              {state !== 'cancelled' && (
                <button type="button" onClick={() => api('POST', '/api/cancel', { id })}>
                  Cancel
                </button>
              )}
            </li>
          ))}
        </ul>
      </section>
      <StatCards
        cards={[
          { label: 'Pending', value: count('pending') },
          { label: 'Confirmed', value: count('confirmed') },
          { label: 'Cancelled', value: count('cancelled') },
        ]}
      />
      <LiveFeed
        channel="tenant"
        history={20}
        describe={({ type, data }) => (typeof data === 'string' ? data : `${type}: ${(data as Appointment)?.client ?? ''}`)}
      />
      {me === 'mila' && <AnalyticsDashboard every={10_000} />}
    </>
  )
}

void begin({
  title: 'Studio Nova',
  people: ['mila', 'jan'],
  kinds: [{ type: 'bot.*', label: 'Bookings' }],
  aside: <PresenceList channel="desk" />,
  children: <Panel />,
})
