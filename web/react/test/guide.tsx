// The components of docs/guide/react.md, as they stand there.

import type { Client } from '@carillon/client'
import {
  CarillonProvider,
  useChannel,
  useConnection,
  useEvent,
  useEvents,
  useInbox,
  useLive,
  usePreferences,
  usePresence,
  useStats,
  useTyping,
  useUnreadCount,
} from '../src/index.js'

declare const createClient: (options: object) => Client
declare const toast: (text: string) => void

export function App() {
  return (
    <CarillonProvider
      client={() =>
        createClient({
          url: 'https://events.example.com',
          getToken: () => fetch('/carillon-token').then((answer) => answer.text()),
        })
      }
    >
      <Appointments branch="1" />
    </CarillonProvider>
  )
}

interface Appointment {
  id: number
  at: string
  client: string
}

export function Appointments({ branch }: { branch: string }) {
  const { status, value = [] } = useLive<Appointment[], Appointment>(
    {
      key: ['appointments', branch],
      channels: [`branch:${branch}`],
      types: ['appointment.*'],
      load: async ({ signal }) => {
        const answer = await fetch(`/api/appointments?branch=${branch}`, { signal })
        return { value: await answer.json(), position: answer.headers.get('Carillon-Position') ?? '' }
      },
    },
    (rows, event) => {
      const others = rows.filter((row) => row.id !== event.data.id)
      return event.type === 'appointment.cancelled' ? others : [...others, event.data]
    },
  )
  return (
    <ul aria-busy={status === 'loading'}>
      {value.map((row) => (
        <li key={row.id}>{`${row.at} ${row.client}`}</li>
      ))}
    </ul>
  )
}

export function Sounds() {
  useEvent<{ total: number }>('order.paid', (event) => toast(`${event.data.total} €`))
  return null
}

export function Feed() {
  const events = useEvents<{ text: string }>('bot.message.*', { channel: 'tenant', history: 50, limit: 200 })
  return (
    <ol>
      {events.map((event) => (
        <li key={event.id}>{event.data.text}</li>
      ))}
    </ol>
  )
}

export function Desk() {
  const { status, error, channel } = useChannel('branch:1')
  if (status === 'refused') return <p>{error?.message}</p>
  return (
    <button type="button" onClick={() => channel.publish('staff.break', { minutes: 15 })}>
      Take a break
    </button>
  )
}

export function Room() {
  const { members, count } = usePresence('branch:1')
  const { users, start } = useTyping('branch:1')
  return (
    <>
      <p>{`${count} here: ${members.map((member) => member.user).join(', ')}`}</p>
      <input aria-label="Message" onChange={start} />
      <p>{users.length > 0 && `${users.join(', ')} …`}</p>
    </>
  )
}

export function Bell() {
  const unread = useUnreadCount()
  const { items, hasMore, loadMore, inbox } = useInbox({ filter: 'unread' })
  return (
    <>
      <p>{unread}</p>
      {items.map((item) => (
        <button type="button" key={item.seq} onClick={() => inbox.read(item.seq)}>
          {item.title}
        </button>
      ))}
      {hasMore && (
        <button type="button" onClick={loadMore}>
          More
        </button>
      )}
    </>
  )
}

export function Quiet() {
  const { value, change } = usePreferences()
  const night = { zone: 'Europe/Berlin', ranges: [{ days: ['mon', 'tue'] as const, from: '22:00', to: '07:00' }] }
  return (
    <button type="button" aria-pressed={value?.quiet === true} onClick={() => change({ quiet_hours: night })}>
      Quiet at night
    </button>
  )
}

export function Header() {
  const isOpen = useConnection((state) => state.status === 'open')
  const { value } = useStats({ every: 10_000 })
  return <p>{isOpen ? `${value?.connections ?? '–'} connected` : 'connecting …'}</p>
}
