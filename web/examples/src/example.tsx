// How does an example get its address and token, and what stands around every page?

import { type Client, createClient } from '@carillon/client'
import { CarillonProvider } from '@carillon/react'
import { ConnectionStatus } from '@carillon/ui'
import '@carillon/ui/style.css'
import { type ReactNode, StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import './style.css'

/** What the server of the page answers to who is signed in: here always the same person of each example. */
export interface Session {
  url: string
  token: string
  user: string
  tenants: string[]
}

/** `appointments`, from `/appointments/`. */
const example = location.pathname.split('/').filter(Boolean).at(-1) ?? ''

async function ask<Answer>(path: string, init?: RequestInit): Promise<Answer> {
  const answer = await fetch(path, init)
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

const session = () => ask<Session>(`/session/${example}`)

/** Asks the server of the page to do something; what comes of it arrives as an event, here and everywhere. */
export const act = (action: string, data: object) =>
  ask(`/do/${example}/${action}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(data),
  })

/** Shows a page with one client for each of the person's tenants; all of them share one connection. */
export async function show(page: (clients: Client[], session: Session) => ReactNode) {
  const mine = await session()
  const [tenant = ''] = mine.tenants
  const client = createClient({ url: mine.url, tenant, getToken: async () => (await session()).token })
  const clients = mine.tenants.map((one) => client.attach(one))
  createRoot(document.getElementById('page')!).render(<StrictMode>{page(clients, mine)}</StrictMode>)
}

/** For the pages of one tenant. */
export const showOne = (page: ReactNode) =>
  show(([client]) => (client ? <CarillonProvider client={client}>{page}</CarillonProvider> : null))

/** The title, and at its end what a page has there: a bell, who is here. */
export function Header({ title, subtitle, children }: { title: string; subtitle: string; children?: ReactNode }) {
  return (
    <header className="top">
      <h1>
        {title} <small>{subtitle}</small>
      </h1>
      <ConnectionStatus always />
      {children}
    </header>
  )
}

/** `14:05`, or the day with it when it is not today. */
export function clock(time: string): string {
  const date = new Date(time)
  const isToday = date.toDateString() === new Date().toDateString()
  return date.toLocaleString('en-GB', isToday ? { timeStyle: 'short' } : { dateStyle: 'medium', timeStyle: 'short' })
}
