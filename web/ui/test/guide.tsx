// The components of docs/guide/ui.md, as they stand there.

import type { Client } from '@carillon/client'
import { CarillonProvider } from '@carillon/react'
import {
  AnalyticsDashboard,
  Bell,
  CarillonLook,
  ConnectionStatus,
  Inbox,
  LiveFeed,
  PresenceList,
  StatCards,
  Toaster,
  TypingLine,
} from '../src/index.js'
import { de } from '../src/locales/de.js'

declare const client: Client
declare const navigate: (path: string) => void

const kinds = [
  { type: 'appointment.*', label: 'Termine' },
  { type: 'payment.*', label: 'Zahlungen' },
]

export function App() {
  return (
    <CarillonProvider client={client}>
      <CarillonLook localization={de} appearance={{ variables: { '--crln-accent': '#0b6e4f', '--crln-radius': '4px' } }}>
        <header>
          <ConnectionStatus />
          <PresenceList channel="branch:1" />
          <Bell
            kinds={kinds}
            onOpen={(item, click) => {
              click?.preventDefault()
              navigate(item.action ?? '/')
            }}
          />
        </header>
        <Toaster />
      </CarillonLook>
    </CarillonProvider>
  )
}

export function Dashboard() {
  return (
    <>
      <StatCards />
      <StatCards cards={[{ label: 'Free staff', value: 4, before: 3 }]} />
      <LiveFeed pattern="order.*" channel="tenant" history={20} describe={(event) => `Order ${event.data.order} was paid`} />
      <AnalyticsDashboard query={{ by: 'hour' }} />
      <TypingLine channel="contact:17" nameOf={(user) => user.toUpperCase()} />
    </>
  )
}

export function Compact() {
  return (
    <Inbox
      preferences={false}
      localization={{ notifications: 'News', empty: 'All done' }}
      renderItem={(item, actions) => (
        <article>
          <button type="button" className="crln-button" onClick={actions.read}>
            {item.title}
          </button>
        </article>
      )}
    />
  )
}
