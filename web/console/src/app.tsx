// What stands around every page?

import { Component, type ReactNode, Suspense, useEffect, useRef, useState } from 'react'
import { Icon } from './icons.js'
import { type PageEntry, pages } from './pages.js'
import { Loading, Trouble } from './parts/states.js'
import { problemOf } from './problem.js'
import { Link, useRoute } from './route.js'
import { chooseScheme, type Scheme, scheme } from './scheme.js'
import { signOut, useSession, type Who } from './session.js'
import { SignIn } from './sign-in.js'
import { useStore } from './store.js'
import { ChooseTenant, TenantField, useTenant } from './tenant.js'

export function App() {
  const now = useSession()
  if (now.status === 'loading')
    return (
      <div className="alone">
        <Loading what="your session" />
      </div>
    )
  if (now.status === 'out') return <SignIn problem={now.problem} expired={now.expired} />
  return <Frame who={now.who} />
}

function Frame({ who }: { who: Who }) {
  const { path } = useRoute()
  const [isOpen, open] = useState(false)
  const main = useRef<HTMLElement>(null)
  const entry = pages.find((page) => page.path === path)
  const name = entry?.name ?? 'Not found'
  // Another page begins at its top, and whoever listens hears its name.
  const first = useRef(true)
  useEffect(() => {
    document.title = `${name} · Carillon console`
    open(false)
    if (first.current) first.current = false
    else main.current?.focus()
  }, [name, path])
  return (
    <div className="frame">
      <button type="button" className="skip" onClick={() => main.current?.focus()}>
        Skip to the page
      </button>
      <header className="top">
        <button type="button" className="quiet menu" aria-expanded={isOpen} aria-controls="nav" onClick={() => open(!isOpen)}>
          <Icon name={isOpen ? 'close' : 'menu'} label="Menu" />
        </button>
        <Link to="/" className="brand" aria-label="Carillon: overview">
          <Mark /> <span>Carillon</span>
        </Link>
        <TenantField who={who} />
        <div className="grow" />
        {!who.scopes.includes('admin') && (
          <span className="badge" title="These credentials have no scope admin: settings cannot be changed with them.">
            Read-only
          </span>
        )}
        <SchemeButton />
        <Account who={who} />
      </header>
      <Nav isOpen={isOpen} path={path} />
      <main id="main" ref={main} tabIndex={-1}>
        <Boundary key={path}>
          <Suspense fallback={<Loading what={name} />}>{entry ? <PageOf entry={entry} who={who} /> : <NotFound />}</Suspense>
        </Boundary>
      </main>
    </div>
  )
}

function PageOf({ entry, who }: { entry: PageEntry; who: Who }) {
  const tenant = useTenant()
  if (entry.ofTenant && tenant === null) return <ChooseTenant who={who} page={entry.name} />
  // Another tenant is another page: nothing of the one before is shown in it.
  return <entry.Page key={tenant ?? '*'} />
}

function Nav({ isOpen, path }: { isOpen: boolean; path: string }) {
  const groups = [...new Set(pages.map((page) => page.group))]
  return (
    <nav id="nav" aria-label="Pages" data-open={isOpen || undefined}>
      {groups.map((group) => (
        <section key={group} aria-label={group}>
          <h2>{group}</h2>
          <ul>
            {pages
              .filter((page) => page.group === group)
              .map((page) => (
                <li key={page.path}>
                  <Link to={page.path} aria-current={page.path === path ? 'page' : undefined}>
                    <Icon name={page.icon} /> {page.name}
                  </Link>
                </li>
              ))}
          </ul>
        </section>
      ))}
      <p className="foot">
        <a href="/docs">API reference</a>
      </p>
    </nav>
  )
}

export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M16 6a2 2 0 0 1 2 2v.4c3.400.9 5.500 3.600 5.500 7.100v3.400l2 3.100v1H6.500v-1l2-3.100v-3.400c0-3.500 2.100-6.200 5.500-7.100V8a2 2 0 0 1 2-2zm-2.600 18.500h5.200a2.600 2.600 0 0 1-5.200 0z" />
    </svg>
  )
}

const after: Record<Scheme, Scheme> = { system: 'light', light: 'dark', dark: 'system' }

function SchemeButton() {
  const now = useStore(scheme)
  const icon = { system: 'screen', light: 'sun', dark: 'moon' } as const
  return (
    <button type="button" className="quiet" title={`Colours: ${now}`} onClick={() => chooseScheme(after[now])}>
      <Icon name={icon[now]} label={`Colours: ${now}. Change to ${after[now]}`} />
    </button>
  )
}

function Account({ who }: { who: Who }) {
  const kind = who.kind === 'key' ? 'API key' : 'User'
  return (
    <div className="account">
      <span className="who" title={`${kind} ${who.name}: ${who.scopes.join(', ') || 'no scopes'}`}>
        <small>{kind}</small> <b>{who.name}</b>
      </span>
      <button type="button" className="quiet" title="Sign out" onClick={() => void signOut()}>
        <Icon name="out" label="Sign out" />
      </button>
    </div>
  )
}

function NotFound() {
  return (
    <div className="state">
      <h1>There is no such page</h1>
      <p>
        <Link to="/">Go to the overview</Link>
      </p>
    </div>
  )
}

/** A page that fails takes nothing else with it. */
class Boundary extends Component<{ children: ReactNode }, { error: unknown }> {
  override state: { error: unknown } = { error: null }
  static getDerivedStateFromError(error: unknown) {
    return { error }
  }
  override render() {
    const { error } = this.state
    if (error === null) return this.props.children
    // A file of the page is missing after a new version was installed: loading the page again brings it.
    return <Trouble problem={problemOf(error)} retry={() => location.reload()} />
  }
}
