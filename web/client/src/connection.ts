/** Who runs the state machine, and does what it says: tokens, links, timers, the frames that are sent? */

import { rolesOf } from './claims.js'
import { CarillonError } from './errors.js'
import { deadline, type Ended, type Input, initial, isOver, step } from './machine.js'
import { type Frame, type Link, type Open, open } from './transport.js'
import type { ConnectionState, Position, TokenReason, Transport } from './types.js'
import type { CreateWatching } from './watching.js'

/** What is wanted of a channel beside its events: who is there, and what is said of oneself. */
export interface Want {
  readonly watch?: boolean | undefined
  readonly meta?: unknown
}

export interface ConnectionHost {
  readonly base: string
  readonly tenant?: string | undefined
  readonly device?: string | undefined
  readonly types?: readonly string[] | undefined
  readonly WebSocket?: typeof globalThis.WebSocket | undefined
  /** Where the connection is shared with clients of other tenants. */
  readonly open?: Open | undefined
  token(reason: TokenReason): Promise<string>
  /** The server says how long the token is still good, in seconds. */
  tokenLasts(seconds: number): void
  cursor(): Position | null
  /** `<seq>:<id>` of the last event. */
  last(): string | undefined
  wanted(): ReadonlyMap<string, Want>
  frame(frame: Frame): void
  state(state: ConnectionState): void
  joined(channels: readonly string[], position: Position): void
  refused(channels: readonly string[], error: CarillonError): void
  /** Events of channels may have been missed. */
  missed(reason: string): void
  /** Who is in channels, and what is said of oneself there: without it nobody asks. */
  readonly watching?: CreateWatching | undefined
}

export interface Connection {
  connect(): void
  stop(to: 'idle' | 'closed', code: string, reason: string): void
  input(type: 'online' | 'offline' | 'wake'): void
  /** Waits for the connection if need be: at most 256 frames, 30 s each. Rejects with a `CarillonError`. */
  request(frame: object): Promise<Frame>
  /** What is wanted has changed. */
  sync(): void
  /** The server has said that this connection is in it. */
  joined(channel: string): boolean
  /** Begin again at the cursor, which was set back. */
  rewind(): void
  /** `open` is another one than the present link was made with. */
  share(): void
}

export const QUEUE = 256
export const QUEUE_MS = 30_000
/** So many frames of one connection may be under way: a gateway takes 16 that are to be stored. */
const FLYING = 16
/** A channel of which the server cannot say now whether it may be joined is asked for again: half to all of this time later, twice as much each time. */
const [LATER_MS, LATER_MOST_MS] = [5_000, 60_000]

interface Pending {
  readonly frame: object
  readonly once: boolean
  readonly settle: (answer: Frame | CarillonError) => void
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)

/** An error frame, as an error. */
export const errorOf = ({ code, message, retry_ms, channels, errors }: Frame): CarillonError =>
  new CarillonError(code, message ?? code, {
    ...(retry_ms && { retryMs: retry_ms }),
    ...(channels && { channels }),
    ...(errors && { errors }),
  })

export function createConnection(host: ConnectionHost): Connection {
  const now = () => performance.now()
  let machine = initial
  let link: Link | null = null
  let madeWith: Open | undefined
  /** The link has had its welcome. */
  let live = false
  let timer: ReturnType<typeof setTimeout> | undefined
  let heardAt = 0
  let told: ConnectionState | null = null
  let welcome: Frame | null = null
  let since = 0
  let token = ''
  let attempt = 0
  let ids = 0
  /** Of this link: what the URL or first frame named, and where it is (true: the server has said so). */
  let [asked, in_] = [[] as string[], new Map<string, boolean>()]
  const refused = new Set<string>()
  /** One refused channel refuses them all: then they are asked for one by one. */
  let oneByOne = false
  /** Why events may have been missed; said once the channels are joined again. */
  let lost: string | null = null
  let laterMs = LATER_MS
  let syncing = false
  const pending = new Map<number, Pending>()
  const flying = new Set<number>()
  let [room, roomAt, rate] = [200, 0, 40]

  const phaseTransport = () => (machine.phase as { transport?: Transport }).transport

  function tell() {
    const { phase, code, reason, failures } = machine
    // Nobody has to know that the same comes by another link.
    if (phase.name === 'opening' && phase.again) return
    const isConnecting = phase.name === 'token' || phase.name === 'opening'
    let more: object | undefined
    if (isConnecting) more = { attempt: failures + 1 }
    else if (phase.name === 'waiting') more = { attempt: failures, retryAt: Date.now() + Math.round(phase.until - now()) }
    else if (phase.name === 'open') {
      const { tenant, user, roles = [], connection } = welcome!
      more = { transport: phase.transport, leader: true, identity: { tenant, user, roles }, connection, since }
    }
    const state = { status: isConnecting ? 'connecting' : phase.name, code, reason, ...more } as ConnectionState
    if (same({ ...state, reason: 0, retryAt: 0 }, { ...told, reason: 0, retryAt: 0 })) return
    told = state
    host.state(state)
  }

  function arm() {
    clearTimeout(timer)
    const until = deadline(machine)
    if (until !== null) timer = setTimeout(() => run({ type: 'tick' }, Math.max(now(), until)), Math.max(0, until - now()))
  }

  function run(input: Input, at = now()) {
    const before = machine
    const [next, effects] = step(machine, input, { now: at, random: Math.random(), heardAt })
    machine = next
    for (const effect of effects) {
      if (effect.do === 'drop') drop()
      else if (effect.do === 'ping') probe()
      else if (effect.do === 'open') connectLink(effect.transport)
      else fetchToken(effect.reason)
    }
    if (machine === next && next !== before) arm()
    tell()
    if (isOver(machine.phase)) flush(new CarillonError(machine.phase.name === 'failed' ? machine.code : 'closed', machine.reason))
  }

  const flush = (error: CarillonError, only: (one: Pending) => boolean = () => true) => {
    for (const one of [...pending.values()]) if (only(one)) one.settle(error)
  }

  function drop() {
    link?.close()
    link = null
    live = false
    flying.clear()
    flush(new CarillonError('disconnected', 'no answer came'), (one) => one.once)
  }

  function fetchToken(reason: TokenReason) {
    const mine = ++attempt
    host.token(reason).then(
      (fresh) => {
        token = fresh
        if (mine === attempt) run({ type: 'token' })
      },
      (error: CarillonError) =>
        mine === attempt &&
        run({ type: 'token_failed', code: error.code, reason: error.message, final: error.code === 'unauthorized' }),
    )
  }

  function connectLink(transport: Transport) {
    drop()
    asked = oneByOne && transport === 'websocket' ? [] : [...host.wanted().keys()].filter((channel) => !refused.has(channel))
    ;[in_, syncing] = [new Map(), false]
    watching?.reset()
    const { base, tenant, device, types, WebSocket } = host
    const hello = {
      token,
      tenant,
      device,
      types,
      channels: asked,
      cursor: host.cursor(),
      last: host.last(),
    }
    madeWith = host.open
    const mine: Link = (madeWith ?? open)(
      transport,
      base,
      hello,
      {
        frame: (frame) => mine === link && receive(frame),
        ended(end) {
          if (mine !== link) return
          drop()
          run(forgive(end))
        },
      },
      WebSocket,
    )
    link = mine
  }

  /** A channel that is refused does not refuse the connection. */
  function forgive(end: Ended): Ended {
    const channels: string[] = (end as { channels?: string[] }).channels ?? []
    if (end.code !== 'forbidden' || machine.phase.name !== 'opening' || !asked.length || (oneByOne && !channels.length))
      return end
    if (channels.length) refuse(channels, new CarillonError('forbidden', end.reason, { channels }))
    else oneByOne = true
    return { ...end, outcome: 'retry', answered: true }
  }

  function refuse(channels: string[], error: CarillonError) {
    for (const channel of channels) {
      refused.add(channel)
      in_.delete(channel)
    }
    asked = asked.filter((channel) => !refused.has(channel))
    host.refused(channels, error)
  }

  function joined(channels: readonly string[], { seq, epoch }: Frame) {
    for (const channel of channels) if (in_.has(channel)) in_.set(channel, true)
    host.joined(channels, { seq, epoch })
    if (lost) host.missed(lost)
    lost = null
  }

  function receive(frame: Frame) {
    heardAt = now()
    const { type, id } = frame
    if (typeof id === 'number' && pending.has(id)) pending.get(id)!.settle(frame)
    if (type === 'welcome') {
      welcome = frame
      since = Date.now()
      const most = frame.limits?.frames_per_second ?? 50
      ;[room, rate] = [4 * most, 0.8 * most]
      if (frame.expires_in) host.tokenLasts(frame.expires_in)
      const resumes = host.cursor() !== null
      host.frame(frame)
      for (const channel of asked) in_.set(channel, true)
      if (asked.length) joined(asked, frame)
      live = true
      run({ type: 'welcome', heartbeatMs: frame.heartbeat_ms })
      tell()
      if (oneByOne && resumes && !asked.length) lost = 'channels_refused'
      next()
      sync()
    } else if (type === 'goaway') run({ type: 'goaway', reconnectMs: frame.reconnect_ms })
    else if (type === 'expiring') renew()
    else if (type === 'error' && id === undefined && frame.channels && frame.code !== 'presence_forbidden') {
      refuse(frame.channels, errorOf(frame))
      if (frame.code !== 'forbidden') later(frame.channels)
    } else {
      host.frame(frame)
      if (type !== 'roles') return
      welcome = { ...welcome!, roles: frame.roles }
      tell()
    }
  }

  function later(channels: readonly string[], least = 0) {
    setTimeout(
      () => {
        for (const channel of channels) refused.delete(channel)
        lost ??= 'channels_unavailable'
        sync()
      },
      Math.max(least, laterMs * (0.5 + Math.random() / 2)),
    )
    laterMs = Math.min(2 * laterMs, LATER_MOST_MS)
  }

  async function renew() {
    const mine = link
    try {
      token = await host.token('expiring')
      if (mine !== link) return
      if (phaseTransport() !== 'websocket') return reopen()
      const answer = await ask({ type: 'auth', token })
      host.tokenLasts(answer.expires_in)
      // The channels of new roles are joined, and those of old ones left, without a word.
      const { user, tenant } = welcome!
      receive({ type: 'roles', user, roles: rolesOf(token, tenant) })
    } catch {
      // The old token holds until its end; then the server says so, and a new one is asked for.
    }
  }

  /** The same again with other channels or another token: an event stream says them in its URL. */
  const reopen = () => run({ type: 'reopen' })

  const probe = () => {
    if (phaseTransport() === 'websocket') link?.send({ type: 'ping' })
    else reopen()
  }

  /** In their order, a few at a time. */
  function next() {
    if (!live) return
    for (const [id, one] of pending) {
      if (flying.size >= FLYING) return
      if (!one.once && !flying.has(id)) {
        flying.add(id)
        transmit(id, one)
      }
    }
  }

  /** More than the rate of the server would end the connection. */
  function transmit(id: number, one: Pending) {
    room = Math.min(5 * rate, room + ((now() - roomAt) * rate) / 1000)
    roomAt = now()
    if (room < 1) return void setTimeout(() => pending.get(id) === one && live && transmit(id, one), 1000 / rate)
    room--
    if (phaseTransport() === 'websocket') return link?.send({ ...one.frame, id })
    import('./fallback.js')
      .then(({ command }) => command(host, token, { ...one.frame, id }))
      .then(one.settle, (error) => one.settle(new CarillonError('network', error.message)))
  }

  function enqueue(frame: object, once: boolean): Promise<Frame> {
    return new Promise((resolve, reject) => {
      const { name } = machine.phase
      if (name === 'failed' || name === 'closed') return reject(new CarillonError('closed', machine.reason))
      if (pending.size >= QUEUE) return reject(new CarillonError('queue_full', '256 frames wait'))
      const id = ++ids
      const timeout = setTimeout(() => one.settle(new CarillonError('queue_expired', 'no answer came in 30 s')), QUEUE_MS)
      const one: Pending = {
        frame,
        once,
        settle(answer) {
          clearTimeout(timeout)
          pending.delete(id)
          if (flying.delete(id)) next()
          if (answer instanceof Error) reject(answer)
          else if (answer.type === 'error') reject(errorOf(answer))
          else resolve(answer)
        },
      }
      pending.set(id, one)
      if (once && live) transmit(id, one)
      else next()
    })
  }

  /** Of this link alone. */
  const ask = (frame: object) => enqueue(frame, true)

  function sync() {
    if (!live || syncing) return
    syncing = true
    queueMicrotask(() => {
      syncing = false
      settleChannels()
    })
  }

  function settleChannels() {
    if (!live || machine.phase.name !== 'open') return
    const wanted = host.wanted()
    for (const channel of refused) if (!wanted.has(channel)) refused.delete(channel)
    const open = [...wanted.keys()].filter((channel) => !refused.has(channel))
    if (machine.phase.transport !== 'websocket') {
      if (!same([...open].sort(), [...asked].sort())) reopen()
      return watching?.look(open, wanted)
    }
    const leave = [...in_.keys()].filter((channel) => !wanted.has(channel))
    if (leave.length) {
      for (const channel of leave) in_.delete(channel)
      watching?.left(leave)
      ask({ type: 'unsubscribe', channels: leave }).catch(() => {})
    }
    const mine = link
    const joins = open.filter((channel) => !in_.has(channel))
    if (joins.length) {
      for (const channel of joins) in_.set(channel, false)
      // What is left out would be every type again.
      ask({ type: 'subscribe', channels: joins, types: host.types }).then(
        (ok) => {
          if (mine !== link) return
          // The next link may name them all in its first frame, and so resume in each.
          oneByOne = false
          laterMs = LATER_MS
          joined(joins, ok)
        },
        (error: CarillonError) => {
          if (mine !== link) return
          for (const channel of joins) in_.delete(channel)
          const wrong = error.channels ? [...error.channels] : joins
          refuse(wrong, error)
          if (error.code !== 'forbidden') later(wrong, error.retryMs)
          sync()
        },
      )
    }
    watching?.settle(open, wanted)
  }

  const watching = host.watching?.({ types: host.types, ask, frame: host.frame, sync, link: () => link })

  return {
    connect: () => run({ type: 'connect' }),
    stop(to, code, reason) {
      attempt++
      refused.clear()
      run({ type: 'stop', to, code, reason })
    },
    input: (type) => run({ type }),
    request: (frame) => enqueue(frame, false),
    sync,
    joined: (channel) => live && !!in_.get(channel),
    rewind: reopen,
    share() {
      const { phase } = machine
      if (host.open === madeWith) return
      if (phase.name === 'opening') connectLink(phase.transport)
      else reopen()
    },
  }
}
