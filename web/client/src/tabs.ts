/**
 * Which tab of this browser holds the connection, and how do the others get what it brings?
 *
 * A Web Lock elects one. It hands every frame on over a BroadcastChannel, and takes the others' commands. Each tab keeps its own
 * cursor and leaves out what it has seen, so a new leader begins at the earliest cursor and nothing is lost or doubled.
 * A lock is kept by a page in the back-forward cache and by a frozen one, so it is released in `pagehide` and `freeze`; whoever hears
 * nothing of the leader takes the lock away, and so does a visible tab when the leader is hidden.
 */

import { type Connection, type ConnectionHost, createConnection, QUEUE, QUEUE_MS, type Want } from './connection.js'
import { CarillonError } from './errors.js'
import type { Frame } from './transport.js'
import type { ConnectionState, Position } from './types.js'

const TICK_MS = 2_500
const PEER_MS = 150_000
/** A tab that is looked at for so long takes over from a hidden one. */
const VISIBLE_MS = 1_000
/** A command may be repeated so long after its answer, by a tab that has not read the answer yet. */
const ANSWERED_MS = 10_000
/** A tab whose lock was taken away asks for it again after this time. */
const ROBBED_MS = 500

/** Frames whose `seq` is how far their link has come. */
const POSITIONED = ['welcome', 'event', 'heartbeat', 'pong', 'reset']

type Wants = readonly (readonly [string, Want])[]

interface Peer {
  readonly wants: Wants
  /** The number of the last fresh `want` of this tab. */
  readonly fresh: number
  readonly heardAt: number
}

type Message = {
  readonly from: string
  readonly to?: string
} & ( // `fresh`: 0, or the number of a `want` of a tab that takes no frame until a `lead` with this number has come.
  | { readonly t: 'want'; readonly wants: Wants; readonly seen: Position | null; readonly fresh: number }
  // `origin`: this leader hands on everything after it.
  | {
      readonly t: 'lead'
      readonly hidden: boolean
      readonly state: ConnectionState | null
      readonly origin: Position | null
      readonly fresh?: number
    }
  | { readonly t: 'frame'; readonly frame: Frame }
  | { readonly t: 'state'; readonly state: ConnectionState }
  | { readonly t: 'joined'; readonly channels: readonly string[]; readonly position: Position }
  | { readonly t: 'refused'; readonly channels: readonly string[]; readonly code: string; readonly message: string }
  | { readonly t: 'missed'; readonly reason: string }
  | { readonly t: 'command'; readonly n: number; readonly frame: object }
  | { readonly t: 'answer'; readonly n: number; readonly answer?: Frame; readonly code?: string; readonly message?: string }
  | { readonly t: 'bye' | 'signout' | 'connect' }
)
// biome-ignore lint/suspicious/noExplicitAny: a union without its common fields
type Body = Message extends infer M ? (M extends any ? Omit<M, 'from'> : never) : never

export interface Tabs extends Omit<Connection, 'rewind' | 'joined'> {
  /** All tabs of this person end. */
  signOut(): void
}

export function createTabs(host: ConnectionHost & { signedOut(): void; report(error: unknown): void }, name: string): Tabs {
  const me = crypto.randomUUID()
  let bus: BroadcastChannel | null = null
  const peers = new Map<string, Peer>()
  const commands = new Map<number, { frame: object; settle(answer: Frame | CarillonError): void }>()
  /** Commands that this leader has begun, and the answers of those that are done: each runs once, however often it is said. */
  const running = new Map<string, Body | null>()
  /** Channels that are wanted and refused. */
  const refusals = new Map<string, CarillonError>()
  let connection: Connection | null = null
  let release: (() => void) | null = null
  let state: ConnectionState | null = null
  let welcome: Frame | null = null
  /** This leader hands on everything after it. */
  let origin: Position | null = null
  /** So far has its link handed on. It is behind the leader's own cursor while a tab that was further behind catches up. */
  let handed: Position | null = null
  /** Where the next link has to begin for a tab that is further behind than the present one reaches. */
  let rewindTo: Position | null = null
  /** The number of the fresh `want` that no leader has answered yet; 0: none. */
  let awaited = 0
  let leaderAt = 0
  let leaderHidden = false
  let visibleAt = 0
  let stopped = true
  let seeking: AbortController | null = null
  let numbers = 0

  // What is said in one turn goes out as one message, in its order. No timer: those of hidden tabs are slow.
  let out: Message[] = []
  const turn = new MessageChannel()
  turn.port1.onmessage = post
  function say(body: Body) {
    if (bus && out.push({ ...body, from: me } as Message) === 1) turn.port2.postMessage(0)
  }
  function post() {
    const messages = out
    out = []
    if (messages.length) bus?.postMessage(messages)
  }

  const hidden = () => document.visibilityState === 'hidden'
  const wants = (): Wants => [...host.wanted()]
  const announce = () => say({ t: 'want', wants: wants(), seen: host.cursor(), fresh: awaited })
  /** Something may have passed this tab by. What comes before the leader has heard where it is would move its cursor over that. */
  function announceFresh() {
    awaited = ++numbers
    announce()
  }
  const tell = (next: ConnectionState) => {
    state = next
    host.state(next)
  }

  // --------------------------------------------------------------------------------------------- the leader

  const behind = (seen: Position | null, of: Position | null) =>
    seen !== null && of !== null && seen.epoch === of.epoch && seen.seq < of.seq
  const earlier = (one: Position | null, other: Position | null) => (behind(one, other) ? one : other)
  const lead = (to?: { to: string; fresh: number; state: ConnectionState | null }) =>
    say({ t: 'lead', hidden: hidden(), state: null, origin, ...to })

  const leading: ConnectionHost = {
    ...host,
    get open() {
      return host.open
    },
    cursor: () => earlier(rewindTo, earlier(handed, host.cursor()) ?? rewindTo),
    wanted() {
      const all = new Map(host.wanted())
      for (const peer of peers.values())
        for (const [channel, { watch, meta }] of peer.wants) {
          const known = all.get(channel)
          all.set(channel, { watch: watch || known?.watch, meta: meta ?? known?.meta })
        }
      for (const channel of refusals.keys()) if (!all.has(channel)) refusals.delete(channel)
      return all
    },
    frame(frame) {
      const { type, seq, epoch = handed?.epoch } = frame
      if (type === 'welcome') welcome = frame
      if (seq !== undefined && epoch && frame.replay === undefined && POSITIONED.includes(type)) {
        handed = { seq, epoch }
        if (!origin || origin.epoch !== epoch) origin = handed
      }
      say({ t: 'frame', frame })
      host.frame(frame)
      if (type !== 'welcome') return
      // Somebody was found to be further behind after this was asked for. A reset is one for every tab.
      if (frame.resumed !== 'reset' && behind(rewindTo, handed)) queueMicrotask(() => connection?.rewind())
      else rewindTo = null
    },
    state(next) {
      say({ t: 'state', state: next.status === 'open' ? { ...next, leader: false } : next })
      tell(next)
    },
    joined(channels, position) {
      for (const channel of channels) refusals.delete(channel)
      // A tab that is further behind is in them from where the next link begins.
      if (!behind(rewindTo, position)) say({ t: 'joined', channels, position })
      host.joined(channels, position)
    },
    refused(channels, error) {
      for (const channel of channels) refusals.set(channel, error)
      say({ t: 'refused', channels, code: error.code, message: error.message })
      host.refused(channels, error)
    },
    missed(reason) {
      say({ t: 'missed', reason })
      host.missed(reason)
    },
  }

  function take() {
    connection = createConnection(leading)
    origin = host.cursor()
    awaited = 0
    // Every tab says where it is; the first answers are there before a token is.
    lead()
    connection.connect()
    for (const [n, { frame }] of commands) carryOut(me, n, frame)
  }

  /** Of this tab or another. What ends because another tab takes over has no answer: it is said again to that one. */
  function carryOut(from: string, n: number, frame: object) {
    const key = `${from} ${n}`
    const known = running.get(key)
    if (known) say(known)
    if (known !== undefined) return
    running.set(key, null)
    const mine = connection!
    const done = (answer: Frame | CarillonError) => {
      if (connection !== mine) return
      if (from === me) {
        running.delete(key)
        return commands.get(n)?.settle(answer)
      }
      const { code, message } = answer as CarillonError
      const told: Body = { t: 'answer', to: from, n, ...(answer instanceof Error ? { code, message } : { answer }) }
      running.set(key, told)
      setTimeout(() => running.get(key) === told && running.delete(key), ANSWERED_MS)
      say(told)
    }
    mine.request(frame).then(done, done)
  }

  function yieldLead(code: string, reason: string) {
    const held = connection
    connection = origin = handed = rewindTo = welcome = null
    peers.clear()
    running.clear()
    refusals.clear()
    // Its last word, a state, is nobody's business: another tab goes on.
    leading.state = () => {}
    held?.stop('idle', code, reason)
    leading.state = leadingState
    release?.()
    release = null
  }
  const leadingState = leading.state

  function heardPeer({ from, wants, seen, fresh }: Extract<Message, { t: 'want' }>) {
    const before = peers.get(from)
    const known = new Map(before?.wants)
    // A fresh `want` is said until its answer is there.
    const first = fresh !== 0 && fresh !== before?.fresh
    peers.set(from, { wants, fresh: fresh || (before?.fresh ?? 0), heardAt: performance.now() })
    lead({ to: from, fresh, state: state?.status === 'open' ? { ...state, leader: false } : state })
    const now = host.cursor()
    if (welcome && now && (first || !seen)) {
      const other = seen && seen.epoch !== now.epoch
      say({ t: 'frame', to: from, frame: { ...welcome, ...now, ...(other && { resumed: 'reset' }) } })
      if (other) say({ t: 'frame', to: from, frame: { type: 'reset', reason: 'epoch_changed', ...now } })
    }
    const next = leading.cursor()
    if (first && seen && (!next || behind(seen, next))) {
      rewindTo = earlier(rewindTo, seen)
      origin = origin ? earlier(seen, origin) : seen
      return connection!.rewind()
    }
    const joined = wants.filter(([channel]) => connection!.joined(channel))
    if (joined.length && now)
      say({ t: 'joined', to: from, channels: joined.map(([channel]) => channel), position: earlier(seen, now)! })
    for (const [channel, { watch }] of joined)
      if (watch && !known.get(channel)?.watch)
        connection!.request({ type: 'presence', channel }).then(
          ({ presence }) => say({ t: 'frame', to: from, frame: { type: 'presence', channel, sync: true, ...presence[channel] } }),
          () => {},
        )
    for (const [channel] of wants) {
      const error = known.has(channel) ? undefined : refusals.get(channel)
      if (error) say({ t: 'refused', to: from, channels: [channel], code: error.code, message: error.message })
    }
    connection!.sync()
  }

  // --------------------------------------------------------------------------------------------- followers

  function seek(steal = false) {
    if (stopped || connection) return
    seeking?.abort()
    const mine = new AbortController()
    seeking = mine
    navigator.locks
      .request(name, steal ? { steal } : { signal: mine.signal }, () => {
        if (stopped || seeking !== mine) return
        const held = new Promise<void>((resolve) => {
          release = resolve
        })
        take()
        return held
      })
      .catch((error) => {
        // No longer wanted.
        if (seeking !== mine) return
        if (error?.name !== 'AbortError' && !connection) return alone()
        // Taken away by another tab, or by the browser.
        yieldLead('handed_over', 'another tab holds the connection')
        if (stopped || !bus) return
        // What the new leader said while this tab still led was not listened to.
        announceFresh()
        setTimeout(() => seeking === mine && seek(), ROBBED_MS)
      })
  }

  /** Locks or channels between tabs are refused (no storage is allowed, a sandbox): a connection of its own, as without tabs. */
  function alone() {
    if (stopped || connection) return
    leavePage()
    closeBus()
    take()
  }

  function tick() {
    if (stopped || !bus) return
    const now = performance.now()
    if (connection) {
      for (const [id, peer] of peers) if (now - peer.heardAt > PEER_MS) peers.delete(id)
      return lead()
    }
    // A lock that a cached page has kept is given free when somebody asks.
    navigator.locks.query().catch(() => {})
    const silent = now - leaderAt > (hidden() ? 50 : 2) * TICK_MS
    if (silent || (!hidden() && leaderHidden && now - visibleAt > VISIBLE_MS)) {
      leaderAt = now
      seek(true)
    } else announce()
  }

  function receive(message: Message) {
    const { from, to, t } = message
    if (from === me || (to && to !== me) || stopped) return
    if (t === 'signout') return host.signedOut()
    if (connection) {
      if (t === 'want') heardPeer(message)
      else if (t === 'bye') {
        peers.delete(from)
        connection.sync()
      } else if (t === 'connect') connection.connect()
      else if (t === 'command') carryOut(from, message.n, message.frame)
      return
    }
    if (t === 'want' || t === 'bye' || t === 'connect' || t === 'command') return
    leaderAt = performance.now()
    if (t === 'lead') {
      leaderHidden = message.hidden
      if (message.state) tell(message.state)
      const answered = awaited !== 0 && message.fresh === awaited
      if (answered) awaited = 0
      if (!to) {
        const seen = host.cursor()
        // This leader does not hand on all that is missing here.
        if (!awaited && seen && (seen.epoch !== message.origin?.epoch || behind(seen, message.origin))) announceFresh()
        else announce()
      }
      if (!to || answered) for (const [n, { frame }] of commands) say({ t: 'command', n, frame })
    } else if (t === 'state') tell(message.state)
    else if (t === 'answer')
      commands
        .get(message.n)
        ?.settle(message.answer ?? new CarillonError(message.code ?? 'closed', message.message ?? 'the leader has gone'))
    else if (awaited) return
    else if (t === 'frame') host.frame(message.frame)
    else if (t === 'joined') host.joined(message.channels, message.position)
    else if (t === 'refused')
      host.refused(message.channels, new CarillonError(message.code, message.message, { channels: message.channels }))
    else if (t === 'missed') host.missed(message.reason)
  }
  function openBus() {
    bus ??= new BroadcastChannel(name)
    bus.onmessage = ({ data }: MessageEvent<Message[]>) => {
      for (const message of data)
        try {
          receive(message)
        } catch (error) {
          // The others of this batch are not lost with it.
          host.report(error)
        }
    }
  }
  /** A page in the back-forward cache that gets a message is thrown out of it; one that sleeps would find thousands. */
  function closeBus() {
    post()
    bus?.close()
    bus = null
  }

  // ------------------------------------------------------------------------------------- the page's own life

  let pageListeners: (() => void)[] = []
  function listen(target: EventTarget, event: string, then: () => void) {
    target.addEventListener(event, then)
    pageListeners.push(() => target.removeEventListener(event, then))
  }
  function leavePage() {
    for (const undo of pageListeners) undo()
    pageListeners = []
  }
  /** It may come back: from the cache, or from sleep. */
  function away() {
    say({ t: 'bye' })
    seeking?.abort()
    seeking = null
    yieldLead('page_hidden', 'the page is put away')
    closeBus()
  }
  function back() {
    if (stopped || bus) return
    begin()
  }
  function begin() {
    try {
      openBus()
    } catch {
      return alone()
    }
    // A leader that says nothing from now on is silent, though it was never heard.
    leaderAt = performance.now()
    announceFresh()
    seek()
  }

  return {
    connect() {
      if (!stopped) return connection ? connection.connect() : say({ t: 'connect' })
      stopped = false
      tell(Object.freeze({ status: 'connecting', code: 'electing', reason: 'looking for a tab that is connected', attempt: 1 }))
      const interval = setInterval(tick, TICK_MS)
      pageListeners.push(() => clearInterval(interval))
      listen(window, 'pagehide', away)
      listen(document, 'freeze', away)
      listen(window, 'pageshow', back)
      listen(document, 'resume', back)
      listen(document, 'visibilitychange', () => {
        visibleAt = performance.now()
        if (connection) lead()
        else if (!hidden()) setTimeout(tick, VISIBLE_MS + 50)
      })
      begin()
    },
    stop(to, code, reason) {
      if (stopped) return
      say({ t: 'bye' })
      stopped = true
      seeking?.abort()
      seeking = null
      leavePage()
      yieldLead(code, reason)
      closeBus()
      for (const { settle } of [...commands.values()]) settle(new CarillonError('closed', reason))
      tell(Object.freeze({ status: to, code, reason }))
    },
    signOut: () => say({ t: 'signout' }),
    input: (type) => connection?.input(type),
    share: () => connection?.share(),
    sync: () => (connection ? connection.sync() : stopped || announce()),
    request(frame) {
      return new Promise((resolve, reject) => {
        if (commands.size >= QUEUE) return reject(new CarillonError('queue_full', '256 frames wait'))
        const n = ++numbers
        const settle = (answer: Frame | CarillonError) => {
          clearTimeout(timeout)
          commands.delete(n)
          answer instanceof Error ? reject(answer) : resolve(answer)
        }
        const timeout = setTimeout(() => settle(new CarillonError('queue_expired', 'no answer came in 30 s')), QUEUE_MS)
        commands.set(n, { frame, settle })
        connection ? carryOut(me, n, frame) : say({ t: 'command', n, frame })
      })
    },
  }
}
