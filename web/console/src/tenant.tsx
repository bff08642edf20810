// Which tenant are the pages about?

import { type FormEvent, useId, useState } from 'react'
import { number } from './format.js'
import { Icon } from './icons.js'
import { More } from './parts/more.js'
import { Badge } from './parts/page.js'
import { go, href, useRoute } from './route.js'
import './tenants.css'
import { useSession, type Who } from './session.js'
import { useTenants } from './tenants.js'

/** The one of the URL, or the only one that these credentials are for; null: none was chosen, or all are meant. */
export function useTenant(): string | null {
  const { query } = useRoute()
  const now = useSession()
  return tenantOf(query, now.status === 'in' ? now.who : null)
}

const tenantOf = (query: URLSearchParams, who: Who | null) =>
  query.get('tenant') ?? who?.tenant ?? (who?.tenants.length === 1 ? who.tenants[0]! : null)

/** As `useTenant`, for pages that are only shown when there is one. */
export function useChosenTenant(): string {
  return useTenant() ?? ''
}

const known = new Set<string>()

function choose(tenant: string) {
  const path = location.pathname.replace(/^\/console/, '') || '/'
  if (tenant) known.add(tenant)
  go(href(path, { tenant: tenant || null }))
}

/** In the top bar: fixed for credentials of one tenant, a list for a token of several, a field for a key for all. */
export function TenantField({ who }: { who: Who }) {
  const tenant = useTenant()
  const id = useId()
  if (who.tenant !== null)
    return (
      <span className="tenant fixed">
        <small>Tenant</small> <b>{who.tenant}</b>
      </span>
    )
  if (who.tenants.length > 0)
    return (
      <span className="tenant">
        <label htmlFor={id}>Tenant</label>
        <select id={id} value={tenant ?? ''} onChange={({ target }) => choose(target.value)}>
          <option value="">Choose…</option>
          {who.tenants.map((name) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </span>
    )
  return <TenantBox key={tenant} tenant={tenant} />
}

function TenantBox({ tenant }: { tenant: string | null }) {
  const [text, setText] = useState(tenant ?? '')
  const id = useId()
  const listed = useTenants().value?.rows ?? []
  const names = new Set([...known, ...listed.map((one) => one.tenant)])
  const send = (event: FormEvent) => {
    event.preventDefault()
    choose(text.trim())
  }
  return (
    <form className="tenant" onSubmit={send}>
      <label htmlFor={id}>Tenant</label>
      <input
        id={id}
        value={text}
        list={`${id}-known`}
        placeholder="all tenants"
        autoComplete="off"
        spellCheck={false}
        onChange={({ target }) => setText(target.value)}
        onBlur={() => text.trim() !== (tenant ?? '') && choose(text.trim())}
      />
      <datalist id={`${id}-known`}>
        {[...names].map((name) => (
          <option key={name} value={name} />
        ))}
      </datalist>
      {tenant && (
        <button type="button" className="quiet" title="All tenants" onClick={() => choose('')}>
          <Icon name="close" label="All tenants" />
        </button>
      )}
    </form>
  )
}

/** Instead of a page that is about one tenant, while none is chosen. */
export function ChooseTenant({ who, page }: { who: Who; page: string }) {
  const [text, setText] = useState('')
  const id = useId()
  const listed = useTenants()
  const found = (listed.value?.rows ?? []).filter((one) => one.tenant.includes(text.trim()))
  return (
    <div className="state">
      <h1>{page}</h1>
      <p>This page is about one tenant. Choose which.</p>
      {who.tenants.length > 0 ? (
        <p className="row center">
          {who.tenants.map((name) => (
            <button type="button" key={name} onClick={() => choose(name)}>
              {name}
            </button>
          ))}
        </p>
      ) : (
        <form
          className="row center"
          onSubmit={(event) => {
            event.preventDefault()
            if (text.trim()) choose(text.trim())
          }}
        >
          <label htmlFor={id} className="hidden">
            Name of the tenant
          </label>
          <input
            id={id}
            value={text}
            placeholder="acme"
            autoComplete="off"
            spellCheck={false}
            onChange={({ target }) => setText(target.value)}
          />
          <button type="submit" className="primary" disabled={!text.trim()}>
            Open
          </button>
        </form>
      )}
      {found.length > 0 && (
        <ul className="tenants" aria-label="Tenants">
          {found.map(({ tenant, head, suspended }) => (
            <li key={tenant}>
              <button type="button" className="quiet" onClick={() => choose(tenant)}>
                {tenant}
              </button>
              {suspended && <Badge tone="warn">suspended</Badge>}
              <small>{number(head)} events</small>
            </li>
          ))}
        </ul>
      )}
      <More of={listed} what="tenants" />
    </div>
  )
}
