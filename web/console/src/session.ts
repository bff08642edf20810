// Who is signed in, and with what?
//
// An API key or a user token is kept in memory. With "keep me signed in" the publisher has a session instead, and the browser a cookie
// that no script can read: one for all tabs, so each of them hears when another one begins or ends it.

import { Problem, problemOf } from './problem.js'
import { createStore, useStore } from './store.js'

/** `GET /v1/console/session` */
export interface Who {
  readonly kind: 'key' | 'user'
  /** The key's id, or the user's. */
  readonly name: string
  /** The one tenant these credentials are for; null: several, or all. */
  readonly tenant: string | null
  /** Those a token names; empty: a key for all tenants. */
  readonly tenants: readonly string[]
  readonly scopes: readonly ('publish' | 'read' | 'admin')[]
  readonly expires_at: string | null
  /** Whether a cookie keeps it. */
  readonly kept: boolean
}

export type Session =
  | { readonly status: 'loading' }
  | { readonly status: 'out'; readonly problem: Problem | null; readonly expired: boolean }
  | { readonly status: 'in'; readonly who: Who }

export const session = createStore<Session>({ status: 'loading' })
export const useSession = () => useStore(session)

let held: string | null = null

let turns = 0

/** Moves whenever somebody signs in or out: what was asked before that says nothing about the present session. */
export const turn = () => turns

/** What stands in `Authorization`; null: the cookie stands for it. */
export const credential = () => held

/** Whether this session may change something. */
export function useMay(scope: 'publish' | 'read' | 'admin'): boolean {
  const now = useSession()
  return now.status === 'in' && now.who.scopes.includes(scope)
}

/** Whether these are the credentials of whoever runs the installation: a key for all tenants. */
export function useIsForAllTenants(): boolean {
  const now = useSession()
  return now.status === 'in' && now.who.kind === 'key' && now.who.tenant === null
}

/** Credentials that were good at `asked` are so no more: whoever is here signs in again, on the page where they are. */
export function expire(problem: Problem, asked: number) {
  if (session.get().status !== 'in' || asked !== turns) return
  held = null
  session.set({ status: 'out', problem, expired: true })
}

let last: Promise<unknown> = Promise.resolve()

/**
 * What changes the cookie is sent one after the other, in all tabs, however long each takes: so the session is the one that was begun last.
 * Where the browser has no locks (the console over plain HTTP, but for localhost) in this tab at least.
 */
function inTurn<Answer>(send: () => Promise<Answer>): Promise<Answer> {
  if (navigator.locks) return navigator.locks.request('carillon-console', send)
  const sent = last.then(send, send)
  last = sent
  return sent
}

/** With these credentials; without, with those of the session. */
async function ask(method: 'GET' | 'POST' | 'DELETE', credentials?: string | null): Promise<Who> {
  // Here and not at the top: each of the two modules knows the other.
  const { call } = await import('./api.js')
  const options = { query: { tenant: null }, timeout: 10_000, ...(credentials && { key: credentials }) }
  const send = () => call<Who>(method, '/v1/console/session', options)
  return (await (method === 'GET' ? send() : inTurn(send))).body
}

const codeOf = (address: Location) => new URLSearchParams(address.hash.slice(1)).get('code')

/** A link that signs in has a code in its fragment, which no server and no log sees. It works once. */
function codeOfAddress(): string | null {
  const code = codeOf(location)
  if (location.hash) history.replaceState(null, '', `${location.pathname}${location.search}`)
  return code
}

type Told = 'begun' | 'ended'
/** The other tabs of this browser. */
const tabs = new BroadcastChannel('carillon-console')
const tell = (what: Told) => tabs.postMessage(what)
tabs.onmessage = ({ data }: MessageEvent<Told>) => {
  const now = session.get()
  // What this tab has in memory is its own.
  if (now.status !== 'in' || !now.who.kept) return
  if (data === 'ended') leave()
  // Another session stands in the cookie now, perhaps of another key.
  else void begin()
}

/** Pages and their sockets end with it. */
function leave(problem: Problem | null = null) {
  turns += 1
  held = null
  session.set({ status: 'out', problem, expired: false })
}

export async function begin() {
  const code = codeOfAddress()
  const mine = ++turns
  try {
    const who = await ask(code ? 'POST' : 'GET', code)
    if (code) tell('begun')
    if (mine !== turns) return
    held = null
    session.set({ status: 'in', who })
  } catch (error) {
    if (mine !== turns) return
    held = null
    const problem = problemOf(error)
    // Nobody was signed in, or a session of before is over: that is no fault.
    const isFresh = !code && problem.status === 401
    session.set({ status: 'out', problem: isFresh ? null : problem, expired: false })
  }
}

// A link that is opened where the console is already makes no new page.
addEventListener('hashchange', () => {
  if (codeOf(location)) void begin()
})

/** Signs in with an API key or a user token, unless another sign-in was begun meanwhile. `keep`: a session of 12 hours. */
export async function signIn(text: string, keep: boolean): Promise<void> {
  const credentials = text.trim()
  const mine = ++turns
  const who = await ask(keep ? 'POST' : 'GET', credentials)
  if (who.kept) tell('begun')
  if (mine !== turns) return
  held = who.kept ? null : credentials
  session.set({ status: 'in', who })
}

/** Ends the session in every tab. Where the publisher does not answer, its cookie is still there: that is said, here alone. */
export async function signOut() {
  const now = session.get()
  if (now.status !== 'in' || !now.who.kept) return leave()
  const failed = await ask('DELETE').then(
    () => false,
    (error) => problemOf(error).status !== 401,
  )
  // The others are still signed in then, and know it.
  if (!failed) tell('ended')
  leave(failed ? new Problem('session_goes_on', 0, 'the publisher did not end the session') : null)
}
