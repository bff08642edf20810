/** How do the parts make one client? */

import { createChannels } from './channels.js'
import { claims } from './claims.js'
import { type Connection, type ConnectionHost, createConnection } from './connection.js'
import { CarillonError } from './errors.js'
import type { Features, More } from './features.js'
import { createListeners } from './listeners.js'
import { parsePosition } from './position.js'
import { createStream } from './stream.js'
import type { Tabs } from './tabs.js'
import type { Made, Together } from './tenants.js'
import { createTokens } from './tokens.js'
import type { Client, ClientOptions, ConnectionState, CoreClient, Position, Resync, TokenReason } from './types.js'

/** The person of a call is not the present one any more. */
const [CHANGED, NEW] = ['identity_changed', 'another person']
/** Only where all of them are there a socket can be shared. */
const tabsWork = () => globalThis.document && globalThis.BroadcastChannel && globalThis.navigator?.locks

const handlerOf = (cause: unknown) => new CarillonError('handler', `a listener threw: ${cause}`, { cause })

/** With the features, or as the core without them. */
export function make(options: ClientOptions, together: Together | null = null, features?: Features): Made {
  const base = options.url.replace(/\/+$/, '').replace(/^ws/, 'http')
  let tenant = options.tenant
  const tokens = createTokens(options.getToken)
  const nameOf = (of = '') =>
    !options.name ? `carillon ${base} ${of}` : of === (options.tenant ?? '') ? options.name : `${options.name} ${of}`
  let name = nameOf(tenant)

  let more: More | undefined
  let state: ConnectionState = Object.freeze({ status: 'idle', code: 'idle', reason: 'nothing is asked for' })
  let connection: Connection | Tabs | null = null
  let person: string | null = null
  /** Counts the persons: what was begun for another one is of no use any more. `gone`: of those, who may have been shown something. */
  let [persons, gone] = [0, 0]
  let starting = false
  let begun = 0
  /** `identify(null)` was called: a handler alone does not connect again. */
  let nobody = false
  const misused = new Set<string>()

  const errors = createListeners<CarillonError>(console.error)
  if (options.onError) errors.add(options.onError)
  const states = createListeners<ConnectionState>(thrown)
  const resyncs = createListeners<Resync>(thrown)
  const identified = createListeners<string | null>(thrown)

  function report(error: unknown) {
    const told = error instanceof CarillonError ? error : handlerOf(error)
    if (told.code === CHANGED) return
    if (errors.size) errors.emit(told)
    else console.warn('carillon', told)
  }
  function thrown(cause: unknown) {
    report(handlerOf(cause))
  }
  function misuse(message: string) {
    if (misused.has(message)) return
    misused.add(message)
    report(new CarillonError('misuse', message))
  }

  // ------------------------------------------------------------------------------------------ the cursor

  const channels = createChannels({
    wake,
    sync: () => connection?.sync(),
    failed: thrown,
    report,
    more: features && ((...given) => more!.channel(...given)),
  })
  const stream = createStream({
    deliver: channels.deliver,
    resync(resync) {
      channels.restart(resync.position)
      resyncs.emit(resync)
      more?.backs.emit()
    },
    handled: (position) => more?.keeping.handled(position),
  })

  // ------------------------------------------------------------------------------------------ the connection

  function stillOf(mine: number) {
    if (mine !== persons) throw new CarillonError(CHANGED, NEW)
  }
  async function tokenOf(mine: number, reason: TokenReason): Promise<string> {
    stillOf(mine)
    const [token] = await Promise.all([tokens.get(reason), more?.tenants.ready()])
    stillOf(mine)
    const { sub } = claims(token)
    // Somebody else has signed in: nothing of the one before is shown to them.
    if (sub !== undefined && person !== null && sub !== person) {
      identify(sub)
      stillOf(mine)
    }
    if (person === null && sub !== undefined) {
      person = sub
      if (gone) identified.emit(sub)
    }
    return token
  }

  const host: ConnectionHost & { signedOut(): void; report(error: unknown): void } = {
    ...options,
    base,
    get tenant() {
      return tenant
    },
    get open() {
      return more?.tenants.now?.open
    },
    get watching() {
      return more?.watching
    },
    token: (reason) => tokenOf(persons, reason),
    tokenLasts: tokens.lasts,
    cursor: () => stream.seen,
    last: () => stream.last,
    wanted: channels.wanted,
    frame(frame) {
      if (frame.type === 'welcome' || frame.type === 'roles') channels.welcome(frame)
      const before = stream.seen
      stream.frame(frame)
      if (!before && stream.seen) more?.starts.emit(stream.seen)
      if (frame.type !== 'event') {
        channels.frame(frame)
        more?.frames.emit(frame)
      }
    },
    state(next) {
      const [was, now] = [state.status, next.status]
      state = Object.freeze(next)
      if (was === 'open' && now !== 'open') channels.away()
      states.emit(next)
      if (was !== 'open' && now === 'open') more?.backs.emit()
    },
    joined: channels.joined,
    refused: channels.refused,
    missed(reason) {
      if (!stream.seen) return
      resyncs.emit({ reason, position: stream.seen })
      more?.backs.emit()
    },
    signedOut: () => identify(null, true),
    report,
  }

  function wake() {
    if (options.autoConnect === false || connection || starting || state.status !== 'idle' || nobody) return
    starting = true
    // Everything that is asked for in this turn goes with the first frame.
    queueMicrotask(() => starting && connect())
  }

  function connect() {
    starting = nobody = false
    if (connection) return connection.connect()
    if (options.tabs === false || !tabsWork()) return begin(createConnection(host))
    // Tabs of one person share a connection; who that is, the token says.
    const mine = ++begun
    host.state({ status: 'connecting', code: 'token', reason: 'getToken is asked', attempt: 1 })
    Promise.all([import('./tabs.js'), tokenOf(persons, 'connect')]).then(
      ([{ createTabs }]) => {
        if (mine !== begun) return
        begin(person === null ? createConnection(host) : createTabs(host, `${name} ${person}`))
      },
      // The machine knows what to do about it.
      () => mine === begun && begin(createConnection(host)),
    )
  }

  function begin(made: Connection | Tabs) {
    connection = made
    watchBrowser()
    made.connect()
  }

  let unwatch: (() => void) | null = null
  function watchBrowser() {
    if (unwatch || !globalThis.window?.addEventListener) return
    const tell = (event: Event) => {
      if (event.type === 'online' || event.type === 'offline') connection?.input(event.type)
      else if (document.visibilityState !== 'hidden') connection?.input('wake')
    }
    const end = new AbortController()
    const { signal } = end
    for (const event of ['online', 'offline', 'pageshow']) window.addEventListener(event, tell, { signal })
    document.addEventListener('visibilitychange', tell, { signal })
    unwatch = () => {
      end.abort()
      unwatch = null
    }
  }

  function halt(to: 'idle' | 'closed', code: string, reason: string) {
    starting = false
    begun++
    more?.keeping.stop()
    unwatch?.()
    const held = connection
    connection = null
    held?.stop(to, code, reason)
    if (state.status !== to) host.state({ status: to, code, reason })
  }

  function identify(next: string | null, told = false) {
    if (next !== null && next === person) return
    if (!told && next === null) (connection as Partial<Tabs> | null)?.signOut?.()
    if (next === null) halt('idle', 'signed_out', 'nobody is signed in')
    else halt('idle', 'identified', NEW)
    more?.tenants.now?.keep(0)
    tokens.forget()
    more?.keeping.forget()
    nobody = next === null
    restart(next, null, !nobody)
    more?.tenants.each((one) => one.identify(next))
  }
  /** Nothing of what was shown is of use any more. */
  function restart(next: string | null, from: Position | null, goesOn: boolean) {
    if (person !== null) gone++
    person = next
    persons++
    more?.forget()
    channels.restart(null)
    more?.keeping.restart()
    stream.start(from)
    if (gone) identified.emit(next)
    if (goesOn) connect()
  }

  // ------------------------------------------------------------------------------------------ several tenants

  more = features?.(
    {
      options,
      base,
      channels,
      stream,
      states,
      resyncs,
      identified,
      wake,
      connect,
      report,
      thrown,
      misuse,
      identify,
      name: () => name,
      tenant: () => tenant,
      state: () => state,
      person: () => person,
      gone: () => gone,
      connection: () => connection,
      token: tokenOf,
      persons: () => persons,
      still: stillOf,
      client: () => client as Client,
      halt,
      make: (own, with_) => make(own, with_, features),
      move(to, before) {
        // Whoever is not connected stays so.
        const goesOn = starting || (state.status !== 'idle' && state.status !== 'closed')
        if (goesOn) {
          before()
          halt('idle', 'switched', `another tenant: ${to}`)
        }
        tenant = to
        name = nameOf(to)
        restart(person, more!.keeping.stored(), goesOn)
      },
    },
    together,
  )
  stream.start(more?.keeping.stored() ?? parsePosition(options.position))

  const client: CoreClient = {
    get state() {
      return state
    },
    onState: states.add,
    get position() {
      return stream.handled
    },
    onResync: resyncs.add,
    onError: errors.add,
    connect,
    ready() {
      if (state.status === 'idle') connect()
      return new Promise((resolve, reject) => {
        const look = ({ status, code, reason }: ConnectionState) => {
          if (status === 'open') resolve()
          else if (status === 'failed' || status === 'closed') reject(new CarillonError(code, reason))
          else return
          stop()
        }
        const stop = states.add(look)
        look(state)
      })
    },
    close: () => halt('closed', 'closed', 'close()'),
    identify: (next) => identify(next),
    onIdentify: identified.add,
    on(pattern, handler) {
      if (typeof handler !== 'function') misuse('on() needs a function')
      return channels.add(null, pattern, handler as never)
    },
    channel: channels.channel as CoreClient['channel'],
    ...more?.members,
  }
  return { client: client as Client, identify }
}
