// How does an example begin: who uses it, and with which client?

import { createClient } from '@carillon/client'
import { CarillonProvider } from '@carillon/react'
import { Bell, ConnectionStatus, Toaster } from '@carillon/ui'
import { type ReactNode, StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import '@carillon/ui/style.css'
import './page.css'

/** The person is in the address: `?as=mila`. */
export const me = new URLSearchParams(location.search).get('as') ?? ''

/** Asks the example's own back end. */
export async function api<Answer>(method: string, path: string, input?: object): Promise<{ value: Answer; position: string }> {
  const answer = await fetch(`${path}?as=${encodeURIComponent(me)}`, { method, ...(input && { body: JSON.stringify(input) }) })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status}`)
  return { value: await answer.json(), position: answer.headers.get('carillon-position') ?? '' }
}

export interface PageOptions {
  title: string
  people: readonly string[]
  kinds?: readonly { type: string; label: string }[]
  /** What stands beside the bell. */
  aside?: ReactNode
  children: ReactNode
}

/** Draws the page for whoever `?as=` says. */
export async function begin({ title, people, kinds = [], aside, children }: PageOptions) {
  const root = createRoot(document.getElementById('root') as HTMLElement)
  document.title = title
  if (!people.includes(me)) {
    return root.render(
      <main>
        <h1>{title}</h1>
        <p>
          {people.map((person) => (
            <a key={person} href={`?as=${person}`}>{`As ${person} `}</a>
          ))}
        </p>
      </main>,
    )
  }
  const { value } = await api<{ url: string }>('GET', '/config')
  const makeClient = () =>
    createClient({
      url: value.url,
      getToken: async () => (await api<{ token: string }>('GET', '/token')).value.token,
      name: `${title} ${me}`,
    })
  root.render(
    <StrictMode>
      <CarillonProvider client={makeClient}>
        <header>
          <h1>{title}</h1>
          <ConnectionStatus />
          {aside}
          <span>{me}</span>
          <Bell kinds={kinds} />
        </header>
        <main>{children}</main>
        <Toaster />
      </CarillonProvider>
    </StrictMode>,
  )
}
