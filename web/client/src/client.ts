/** How do the parts make one client? */

import { createChannels } from './channels.js'
import { type Connection, type ConnectionHost, createConnection } from './connection.js'
import { CarillonError } from './errors.js'
import { lazyInbox } from './lazy-inbox.js'
import { lazyLive } from './lazy-live.js'
import { createListeners } from './listeners.js'
import { formatPosition, parsePosition } from './position.js'
import type { Past, Reader } from './reads.js'
import { createStream } from './stream.js'
import type { Tabs } from './tabs.js'
import { createTenants, type Made, type Together } from './tenants.js'
import { claims, createTokens, rolesOf } from './tokens.js'
import type { Frame } from './transport.js'
import type {
  AnyEvents,
  Client,
  ClientOptions,
  ConnectionState,
  Position,
  Published,
  PublishOptions,
  Resync,
  TokenReason,
} from './types.js'

const ACK_MS = 1_000
/** Between two tenants a connection is kept for so long. */
const SWITCH_MS = 5_000
/** The person of a call is not the present one any more. */
const [CHANGED, NEW] = ['identity_changed', 'somebody else has signed in']
/** Only where all of them are there a socket can be shared. */
const tabsWork = () =>
  typeof document === 'object' && typeof BroadcastChannel === 'function' && typeof navigator === 'object' && !!navigator.locks

/** `randomUUID` is there in secure pages alone. */
const newId = () => crypto.getRandomValues(new Uint32Array(4)).join('-')

export const createClient = <Events extends object = AnyEvents>(options: ClientOptions): Client<Events> =>
  make(options, null).client as Client<Events>

function make(options: ClientOptions, together: Together | null): Made {
  const base = options.url.replace(/\/+$/, '').replace(/^ws/, 'http')
  let tenant = options.tenant
  const tokens = createTokens(options.getToken)
  const request: Client['request'] = async (...given) => {
    const mine = persons
    const { request } = await import('./rest.js')
    const answer = await request((options.api ?? base).replace(/\/+$/, ''), tenant, (reason) => tokenOf(mine, reason), ...given)
    stillOf(mine)
    return answer as never
  }
  const nameOf = (of = '') =>
    !options.name ? `carillon ${base} ${of}` : of === (options.tenant ?? '') ? options.name : `${options.name} ${of}`
  let name = nameOf(tenant)

  let state: ConnectionState = Object.freeze({ status: 'idle', code: 'idle', reason: 'nothing was asked for yet' })
  let connection: Connection | Tabs | null = null
  let person: string | null = null
  /** Counts the persons: what was begun for another one is of no use any more. `gone`: of those, who may have been shown something. */
  let [persons, gone] = [0, 0]
  let starting = false
  let begun = 0
  /** `identify(null)` was called: a handler alone does not connect again. */
  let nobody = false
  let ackTimer: ReturnType<typeof setTimeout> | undefined
  const misused = new Set<string>()

  const errors = createListeners<CarillonError>((error) => console.error(error))
  if (options.onError) errors.add(options.onError)
  const states = createListeners<ConnectionState>(thrown)
  const resyncs = createListeners<Resync>(thrown)
  const frames = createListeners<Frame>(thrown)
  const backs = createListeners<void>(thrown)
  const identified = createListeners<string | null>(thrown)
  const starts = createListeners<Position>(thrown)

  function report(error: unknown) {
    const told = error instanceof CarillonError ? error : new CarillonError('handler', `${error}`, { cause: error })
    if (told.code === CHANGED) return
    if (errors.size) errors.emit(told)
    else console.warn(`carillon: ${told.code}: ${told.message}`, told.cause ?? '')
  }
  function thrown(cause: unknown) {
    report(new CarillonError('handler', `a listener threw: ${cause}`, { cause }))
  }
  function misuse(message: string) {
    if (misused.has(message)) return
    misused.add(message)
    report(new CarillonError('misuse', message))
  }

  // ------------------------------------------------------------------------------------------ the cursor

  let kept: string | null = null
  const storage = <T>(use: (storage: NonNullable<ClientOptions['storage']>) => T): T | null => {
    try {
      return options.storage ? use(options.storage) : null
    } catch (cause) {
      if (kept !== '') report(new CarillonError('storage', 'the storage cannot keep the cursor; it is kept in memory', { cause }))
      kept = ''
      return null
    }
  }

  const stream = createStream({
    deliver: (event) => channels.deliver(event),
    resync(resync) {
      channels.restart(resync.position)
      resyncs.emit(resync)
      backs.emit()
    },
    handled(position) {
      if (kept !== '') {
        // Of many in one turn the last is kept.
        if (kept === null) queueMicrotask(keep)
        kept = formatPosition(position)
      }
      if (options.device) ackTimer ??= setTimeout(ack, ACK_MS)
    },
  })
  function keep() {
    const text = kept
    if (!text) return
    kept = null
    storage((to) => to.setItem(`${name} cursor`, text))
  }
  let acked = ''
  function ack() {
    ackTimer = undefined
    const { handled } = stream
    if (!handled || state.status !== 'open' || !state.leader || !handled.seq || formatPosition(handled) === acked) return
    acked = formatPosition(handled)
    // What is refused is said again with the next.
    connection!.request({ type: 'ack', ...handled }).catch(() => {})
  }
  const stored = () => parsePosition(storage((from) => from.getItem(`${name} cursor`)))
  stream.start(stored() ?? parsePosition(options.position))

  // ------------------------------------------------------------------------------------------ the connection

  function stillOf(mine: number) {
    if (mine !== persons) throw new CarillonError(CHANGED, NEW)
  }
  async function tokenOf(mine: number, reason: TokenReason): Promise<string> {
    stillOf(mine)
    const token = await tokens.get(reason)
    stillOf(mine)
    await tenants.ready()
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
    base,
    get tenant() {
      return tenant
    },
    get open() {
      return tenants.now?.open
    },
    device: options.device,
    types: options.types,
    WebSocket: options.WebSocket,
    token: (reason) => tokenOf(persons, reason),
    rolesOf,
    tokenLasts: tokens.lasts,
    cursor: () => stream.seen,
    last: () => stream.last,
    wanted: () => channels.wanted(),
    frame(frame) {
      if (frame.type === 'welcome' || frame.type === 'roles') channels.welcome(frame)
      const before = stream.seen
      stream.frame(frame)
      if (!before && stream.seen) starts.emit(stream.seen)
      if (frame.type !== 'event') {
        channels.frame(frame)
        frames.emit(frame)
      }
    },
    state(next) {
      const [was, now] = [state.status, next.status]
      state = next
      if (was === 'open' && now !== 'open') channels.away()
      states.emit(next)
      if (was !== 'open' && now === 'open') backs.emit()
    },
    joined: (names, position) => channels.joined(names, position),
    refused: (names, error) => channels.refused(names, error),
    missed(reason) {
      if (!stream.seen) return
      resyncs.emit({ reason, position: stream.seen })
      backs.emit()
    },
    signedOut: () => identify(null, true),
    report,
  }

  function wake() {
    if (options.autoConnect === false || connection || starting || state.status !== 'idle' || nobody) return
    starting = true
    // Everything that is asked for in this turn goes with the first frame.
    queueMicrotask(() => {
      if (starting) connect()
    })
  }

  function connect() {
    starting = false
    nobody = false
    if (connection) return connection.connect()
    if (options.tabs === false || !tabsWork()) return begin(createConnection(host))
    // Tabs of one person share a connection; who that is, the token says.
    const mine = ++begun
    host.state(Object.freeze({ status: 'connecting', code: 'token', reason: 'a token is fetched', attempt: 1 }))
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
    if (unwatch || typeof window === 'undefined' || typeof window.addEventListener !== 'function') return
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
    clearTimeout(ackTimer)
    ackTimer = undefined
    unwatch?.()
    const held = connection
    connection = null
    held?.stop(to, code, reason)
    if (state.status !== to) host.state(Object.freeze({ status: to, code, reason }))
  }

  function identify(next: string | null, told = false) {
    if (next !== null && next === person) return
    if (!told && next === null && connection && 'signOut' in connection) connection.signOut()
    if (next === null) halt('idle', 'signed_out', 'nobody is signed in')
    else halt('idle', 'identified', NEW)
    tenants.now?.keep(0)
    tokens.forget()
    storage((from) => from.removeItem(`${name} cursor`))
    nobody = next === null
    restart(next, null, !nobody)
    tenants.each((one) => one.identify(next))
  }
  /** Nothing of what was shown is of use any more. */
  function restart(next: string | null, from: Position | null, goesOn: boolean) {
    if (person !== null) gone++
    person = next
    persons++
    inbox.forget()
    channels.restart(null)
    kept = null
    stream.start(from)
    if (gone) identified.emit(next)
    if (goesOn) connect()
  }

  // ------------------------------------------------------------------------------------------ several tenants

  /** Of a client without one, the token's. */
  const present = () => tenant ?? (stream.tenant || undefined)
  const tenants = createTenants(
    {
      options,
      tenant: present,
      client: () => client,
      make,
      token: (reason) => tokenOf(persons, reason),
      identify: (next) => identify(next),
      shares: () => connection?.share(),
      misuse,
      report,
    },
    together,
  )
  function switchTo(to: string) {
    if (to === present()) return
    if (tenants.isOfAnother(to)) return misuse(`switch('${to}'): that tenant has a client already, or this one is attached`)
    tenants.share()
    // Whoever is not connected stays so.
    const goesOn = starting || (state.status !== 'idle' && state.status !== 'closed')
    if (goesOn) {
      tenants.now?.keep(SWITCH_MS)
      halt('idle', 'switched', `another tenant: ${to}`)
    }
    tenant = to
    name = nameOf(to)
    restart(person, stored(), goesOn)
  }

  function send(frame: object): Promise<Frame> {
    if (!connection) connect()
    if (connection) return connection.request(frame)
    // The token that says which tabs belong together is on its way.
    return new Promise((resolve, reject) => {
      const stop = states.add((next) => {
        if (!connection && next.status === 'connecting') return
        stop()
        if (connection) connection.request(frame).then(resolve, reject)
        else reject(new CarillonError('closed', next.reason))
      })
    })
  }

  // ------------------------------------------------------------------------------------------ what it offers

  const reading = async <T>(read: (reads: typeof import('./reads.js'), reader: Reader) => Promise<T>): Promise<T> =>
    read(await import('./reads.js'), { request, tenant: tenant ?? stream.tenant, epoch: stream.seen?.epoch ?? '' })
  const history = (name: string | null, past: Past) => reading((reads, reader) => reads.history(reader, name, past))

  async function publish(channel: string, type: string, data: unknown, given: PublishOptions = {}): Promise<Published> {
    const { id = newId(), ephemeral, echo } = given
    const { event, seq, epoch, degraded } = await send({ type: 'publish', channel, event: { type, data, id }, ephemeral, echo })
    return { id: event ?? id, ...(seq !== undefined && { seq, epoch }), ...(degraded && { degraded }) }
  }

  const live = <State>(given: Parameters<Client['live']>[0] & { channels?: readonly string[] }) =>
    lazyLive<State>(
      {
        join(names, patterns, handler) {
          // A channel is made when it is first named.
          for (const name of names ?? []) channels.channel(name)
          const undo = (names ?? [null]).flatMap((name) => patterns.map((pattern) => channels.add(name, pattern, handler)))
          const whole = () =>
            stream.seen
              ? Promise.resolve(stream.seen)
              : new Promise<Position>((resolve) => {
                  const stop = starts.add((position) => {
                    stop()
                    resolve(position)
                  })
                })
          return {
            ready: async () => {
              if (!names) return whole()
              const all = await Promise.all(names.map((name) => channels.channel(name).ready()))
              const { seen } = stream
              // In a channel for some time, the stream has passed the place where it was joined.
              return all.reduce((a, b) => (b.seq > a.seq ? b : a), seen?.epoch === all[0]?.epoch ? seen! : all[0]!)
            },
            leave() {
              for (const one of undo) one()
            },
          }
        },
        hold(names) {
          wake()
          const held = (names ?? []).map((name) => channels.channel(name).join())
          return () => {
            for (const undo of held) undo()
          }
        },
        since: (names, position, upTo) =>
          reading((reads, reader) => reads.since(reader, names ?? [null], { since: position, upTo })),
        onResync: resyncs.add,
        person: () => gone,
        onIdentify: identified.add,
        report: thrown,
      },
      given as never,
    )

  const channels = createChannels({
    wake,
    sync: () => connection?.sync(),
    request: send,
    isOpen: () => state.status === 'open',
    user: () => (state.status === 'open' ? state.identity.user : (person ?? undefined)),
    publish,
    history,
    latest: (name) => reading((reads, reader) => reads.latest(reader, name)),
    live: live as never,
    report,
  })

  const inbox = lazyInbox(
    async () =>
      (await import('./inbox.js')).createInbox({
        request,
        wake,
        onEvent: (handler) => channels.add(null, '*', handler),
        onFrame: frames.add,
        onBack: backs.add,
        report,
      }),
    report,
  )

  const client: Client = {
    get state() {
      return state
    },
    onState: (listener) => states.add(listener),
    get position() {
      return stream.handled
    },
    onResync: (listener) => resyncs.add(listener),
    onError: (listener) => errors.add(listener),
    connect() {
      connect()
      tenants.each((one) => one.client.connect())
    },
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
    close() {
      halt('closed', 'closed', 'close() was called')
      tenants.now?.keep(0)
      tenants.each((one) => one.client.close())
    },
    identify: (next) => (together?.identify ?? identify)(next),
    attach: tenants.attach,
    detach: tenants.detach,
    switch: switchTo,
    onIdentify: (listener) => identified.add(listener),
    on(pattern, handler) {
      if (typeof handler !== 'function') misuse(`on('${pattern}') was given no function`)
      return channels.add(null, pattern, handler as never)
    },
    channel: (given) => channels.channel(given),
    live: live as Client['live'],
    publish: publish as Client['publish'],
    async activity(what, data) {
      await send({ type: 'activity', name: what, data })
    },
    async ping() {
      const began = performance.now()
      await send({ type: 'ping' })
      return performance.now() - began
    },
    inbox,
    preferences: {
      get: async () => (await request('GET', '/v1/preferences')).body as never,
      set: async (body) => (await request('PUT', '/v1/preferences', { body })).body as never,
      test: async (type, given) => (await request('GET', '/v1/preferences/test', { query: { type, ...given } })).body as never,
    },
    request,
  }
  return { client, identify }
}
