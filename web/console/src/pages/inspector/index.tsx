// Who or what is looked at? A person, a channel, a connection, or the tenant as a whole; it stands in the URL.

import { type FormEvent, useState } from 'react'
import { Field, Select } from '../../parts/fields.js'
import '../../parts/list.css'
import { Page } from '../../parts/page.js'
import { go, href, Link, useParams } from '../../route.js'
import { useChosenTenant } from '../../tenant.js'
import './inspector.css'
import { ChannelView, ConnectionView, Person, Whole } from './views.js'

const kinds = [
  ['user', 'Person'],
  ['channel', 'Channel'],
  ['connection', 'Connection'],
] as const

type Kind = (typeof kinds)[number][0]

const hints: Readonly<Record<Kind, string>> = { user: 'mila', channel: 'order:17', connection: 'gateway-1-5f0c7a1e-0-4-7' }

export default function Inspector() {
  const tenant = useChosenTenant()
  const [query] = useParams()
  const kind = kinds.find(([name]) => query.get(name))?.[0] ?? null
  const name = (kind && query.get(kind)) ?? ''
  return (
    <Page title="Inspector" lead="A person, a channel, a connection or the tenant: who is here, what may they, how far are they.">
      <Choose key={`${kind} ${name}`} kind={kind} name={name} />
      {kind === 'user' ? (
        <Person key={name} user={name} />
      ) : kind === 'channel' ? (
        <ChannelView key={name} channel={name} />
      ) : kind === 'connection' ? (
        <ConnectionView key={name} name={name} />
      ) : (
        <Whole tenant={tenant} />
      )}
    </Page>
  )
}

function Choose({ kind, name }: { kind: Kind | null; name: string }) {
  const [what, setWhat] = useState<Kind>(kind ?? 'user')
  const [text, setText] = useState(name)
  const look = (event: FormEvent) => {
    event.preventDefault()
    if (text.trim()) go(href('/inspect', { [what]: text.trim() }))
  }
  return (
    <form className="choose" aria-label="Look at" onSubmit={look}>
      <Select
        label="Look at"
        value={what}
        options={kinds}
        onChange={(next) => setWhat(kinds.find(([one]) => one === next)?.[0] ?? 'user')}
      />
      <Field label="Name" type="search" value={text} onChange={setText} placeholder={hints[what]} />
      <button type="submit" className="primary" disabled={!text.trim()}>
        Look
      </button>
      {kind && <Link to="/inspect">The whole tenant</Link>}
    </form>
  )
}
