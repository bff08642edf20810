/** Who runs the state machine, and does what it says: tokens, links, timers, the frames that are sent? */

import { CarillonError } from './errors.js'
import { deadline, type Ended, type Input, initial, step } from './machine.js'
import { type Frame, type Link, type Open, open } from './transport.js'
import type { ConnectionState, Identity, Position, TokenReason, Transport } from './types.js'

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
  rolesOf(token: string, tenant: string): readonly string[]
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
  /** Of this link: what the URL or first frame named, where it is (true: the server has said so), what it watches and says. */
  let [asked, in_, watched, metas] = [
    [] as string[],
    new Map<string, boolean>(),
    new Map<string, boolean>(),
    new Map<string, unknown>(),
  ]
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

  const phaseTransport = (): Transport | null => ('transport' in machine.phase ? machine.phase.transport : null)

  function tell() {
    const { phase, code, reason } = machine
    // Nobody has to know that the same comes by another link.
    if (phase.name === 'opening' && phase.again) return
    const said = { code, reason }
    let state: ConnectionState
    if (phase.name === 'token' || phase.name === 'opening')
      state = { status: 'connecting', ...said, attempt: machine.failures + 1 }
    else if (phase.name === 'waiting')
      state = { status: 'waiting', ...said, attempt: machine.failures, retryAt: Date.now() + Math.round(phase.until - now()) }
    else if (phase.name === 'open') {
      const { tenant, user, roles = [], connection } = welcome!
      const identity: Identity = { tenant, user, roles }
      state = { status: 'open', ...said, transport: phase.transport, leader: true, identity, connection, since }
    } else state = { status: phase.name, ...said }
    if (told && same({ ...state, reason: 0, retryAt: 0 }, { ...told, reason: 0, retryAt: 0 })) return
    told = Object.freeze(state)
    host.state(told)
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
    if (machine.phase.name === 'failed' || machine.phase.name === 'closed' || machine.phase.name === 'idle')
      flush(new CarillonError(machine.phase.name === 'failed' ? machine.code : 'closed', machine.reason))
  }

  const flush = (error: CarillonError, only: (one: Pending) => boolean = () => true) => {
    for (const one of [...pending.values()]) if (only(one)) one.settle(error)
  }

  function drop() {
    link?.close()
    link = null
    live = false
    flying.clear()
    flush(new CarillonError('disconnected', 'the connection ended before the answer came'), (one) => one.once)
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
    ;[in_, watched, metas, syncing] = [new Map(), new Map(), new Map(), false]
    const { base, tenant, device, types, WebSocket } = host
    const hello = {
      token,
      tenant,
      device,
      types,
      channels: asked,
      cursor: host.cursor(),
      last: host.cursor() ? host.last() : undefined,
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
      ;[room, rate] = [4 * (frame.limits?.frames_per_second ?? 50), 0.8 * (frame.limits?.frames_per_second ?? 50)]
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
      receive({ type: 'roles', user, roles: host.rolesOf(token, tenant) })
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
      if (name === 'failed' || name === 'closed') return reject(new CarillonError('closed', `not connected: ${machine.reason}`))
      if (pending.size >= QUEUE) return reject(new CarillonError('queue_full', `${QUEUE} frames wait for their answers`))
      const id = ++ids
      const timeout = setTimeout(
        () => one.settle(new CarillonError('queue_expired', `no answer came within ${QUEUE_MS / 1000} s`)),
        QUEUE_MS,
      )
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
      for (const channel of open) if (wanted.get(channel)!.watch) look(channel)
      return
    }
    const leave = [...in_.keys()].filter((channel) => !wanted.has(channel))
    if (leave.length) {
      for (const channel of leave) {
        in_.delete(channel)
        watched.delete(channel)
        metas.delete(channel)
      }
      ask({ type: 'unsubscribe', channels: leave }).catch(() => {})
    }
    const mine = link
    const part = (channels: string[], more: object, known: Map<string, boolean>) => {
      if (!channels.length) return
      for (const channel of channels) known.set(channel, false)
      // What is left out would be every type again.
      ask({ type: 'subscribe', channels, types: host.types, ...more }).then(
        (ok) => {
          if (mine !== link) return
          if (known === in_) {
            // The next link may name them all in its first frame, and so resume in each.
            oneByOne = false
            laterMs = LATER_MS
            joined(channels, ok)
          }
          for (const [channel, who] of Object.entries(ok.presence ?? {}))
            host.frame({ type: 'presence', channel, sync: true, ...(who as object) })
        },
        (error: CarillonError) => {
          if (mine !== link) return
          for (const channel of channels) known.delete(channel)
          const wrong = error.channels ? [...error.channels] : channels
          if (known === watched) {
            for (const channel of wrong) known.set(channel, false)
            notThere(wrong, error)
          } else {
            refuse(wrong, error)
            if (error.code !== 'forbidden') later(wrong, error.retryMs)
          }
          sync()
        },
      )
    }
    part(
      open.filter((channel) => !in_.has(channel)),
      {},
      in_,
    )
    part(open.filter((channel) => wanted.get(channel)!.watch && !watched.has(channel)).slice(0, 100), { presence: true }, watched)
    for (const channel of open) {
      const { meta } = wanted.get(channel)!
      if (meta === undefined || same(meta, metas.get(channel))) continue
      metas.set(channel, meta)
      ask({ type: 'presence', channel, meta }).catch((error) => notThere([channel], error, error.code))
    }
  }

  const notThere = (channels: readonly string[], { message }: CarillonError, code = 'presence_forbidden') =>
    host.frame({ type: 'error', code, message, channels })

  /** A stream is not told who comes and goes in channels that were not all asked for so: it asks. */
  function look(channel: string) {
    enqueue({ type: 'presence', channel }, true).then(
      ({ presence }) => host.frame({ type: 'presence', channel, sync: true, ...presence[channel], stale: true }),
      (error) => notThere([channel], error),
    )
  }

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
