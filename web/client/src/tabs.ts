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

type Wants = readonly (readonly [string, Want])[]

interface Peer {
  readonly wants: Wants
  readonly heardAt: number
}

type Message = { readonly from: string; readonly to?: string } & (
  | { readonly t: 'want'; readonly wants: Wants; readonly seen: Position | null; readonly fresh: boolean }
  | { readonly t: 'lead'; readonly hidden: boolean; readonly state: ConnectionState | null }
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

export interface Tabs extends Omit<Connection, 'rewind'> {
  /** All tabs of this person end. */
  signOut(): void
}

export function createTabs(host: ConnectionHost & { signedOut(): void }, name: string): Tabs {
  const me = crypto.randomUUID()
  let bus: BroadcastChannel | null = null
  const peers = new Map<string, Peer>()
  const commands = new Map<number, { frame: object; settle(answer: Frame | CarillonError): void }>()
  const running = new Set<string>()
  let connection: Connection | null = null
  let release: (() => void) | null = null
  let state: ConnectionState | null = null
  let welcome: Frame | null = null
  let joined = new Set<string>()
  /** From here on everything was handed on. */
  let origin: Position | null = null
  let rewindTo: Position | null = null
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
    if (out.push({ ...body, from: me } as Message) === 1) turn.port2.postMessage(0)
  }
  function post() {
    const messages = out
    out = []
    if (messages.length) bus?.postMessage(messages)
  }

  const hidden = () => document.visibilityState === 'hidden'
  const wants = (): Wants => [...host.wanted()]
  const announce = (fresh: boolean) => say({ t: 'want', wants: wants(), seen: host.cursor(), fresh })
  const tell = (next: ConnectionState) => {
    state = next
    host.state(next)
  }

  // --------------------------------------------------------------------------------------------- the leader

  function behind(seen: Position | null, of: Position | null) {
    return seen && of && seen.epoch === of.epoch && seen.seq < of.seq
  }

  const leading: ConnectionHost = {
    ...host,
    cursor() {
      const mine = host.cursor()
      origin = behind(rewindTo, mine) ? rewindTo : mine
      return origin
    },
    wanted() {
      const all = new Map(host.wanted())
      for (const peer of peers.values())
        for (const [channel, { watch, meta }] of peer.wants) {
          const known = all.get(channel)
          all.set(channel, { watch: watch || known?.watch, meta: meta ?? known?.meta })
        }
      return all
    },
    frame(frame) {
      if (frame.type === 'welcome') {
        welcome = frame
        joined = new Set()
        // Somebody was found to be further behind since this was asked for.
        if (behind(rewindTo, origin)) queueMicrotask(() => connection?.rewind())
        else rewindTo = null
      }
      say({ t: 'frame', frame })
      host.frame(frame)
    },
    state(next) {
      say({ t: 'state', state: next.status === 'open' ? { ...next, leader: false } : next })
      tell(next)
    },
    joined(channels, position) {
      for (const channel of channels) joined.add(channel)
      say({ t: 'joined', channels, position })
      host.joined(channels, position)
    },
    refused(channels, error) {
      for (const channel of channels) joined.delete(channel)
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
    // Every tab says where it is; the first answers are there before a token is.
    say({ t: 'lead', hidden: hidden(), state: null })
    connection.connect()
    for (const [n, { frame }] of commands) forward(n, frame)
  }

  /** To the server, or to the tab that leads. What has no answer when the lead changes is said again: events have ids. */
  function forward(n: number, frame: object) {
    const held = connection
    if (!held) return say({ t: 'command', n, frame })
    const settle = (answer: Frame | CarillonError) => held === connection && commands.get(n)?.settle(answer)
    held.request(frame).then(settle, settle)
  }

  function yieldLead(code: string, reason: string) {
    const held = connection
    connection = origin = rewindTo = welcome = null
    peers.clear()
    running.clear()
    // Its last word, a state, is nobody's business: another tab goes on.
    leading.state = () => {}
    held?.stop('idle', code, reason)
    leading.state = leadingState
    release?.()
    release = null
  }
  const leadingState = leading.state

  function heardPeer({ from, wants, seen, fresh }: Extract<Message, { t: 'want' }>) {
    const before = new Map(peers.get(from)?.wants)
    peers.set(from, { wants, heardAt: performance.now() })
    const now = host.cursor()
    say({ t: 'lead', to: from, hidden: hidden(), state: state?.status === 'open' ? { ...state, leader: false } : state })
    if (welcome && fresh && now) {
      if (!seen) say({ t: 'frame', to: from, frame: { ...welcome, seq: now.seq, epoch: now.epoch } })
      else if (seen.epoch !== now.epoch) say({ t: 'frame', to: from, frame: { type: 'reset', reason: 'epoch_changed', ...now } })
    }
    const known = wants.map(([channel]) => channel).filter((channel) => joined.has(channel))
    if (known.length && now) say({ t: 'joined', to: from, channels: known, position: now })
    for (const [channel, { watch }] of wants)
      if (watch && joined.has(channel) && !before.get(channel)?.watch)
        connection!.request({ type: 'presence', channel }).then(
          ({ presence }) => say({ t: 'frame', to: from, frame: { type: 'presence', channel, sync: true, ...presence[channel] } }),
          () => {},
        )
    if (behind(seen, fresh || !origin ? now : origin)) {
      if (!rewindTo || behind(seen, rewindTo)) rewindTo = seen
      connection!.rewind()
    } else connection!.sync()
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
      .catch(() => {
        // Taken away by another tab, or by the browser; or no longer wanted.
        if (seeking !== mine) return
        yieldLead('handed_over', 'another tab holds the connection')
        if (stopped || !bus) return
        // What the new leader said while this tab still led was not listened to.
        announce(true)
        seek()
      })
  }

  function tick() {
    if (stopped || !bus) return
    const now = performance.now()
    if (connection) {
      for (const [id, peer] of peers) if (now - peer.heardAt > PEER_MS) peers.delete(id)
      say({ t: 'lead', hidden: hidden(), state: null })
      return
    }
    // A lock that a cached page has kept is given free when somebody asks.
    navigator.locks.query().catch(() => {})
    const silent = now - leaderAt > (hidden() ? 50 : 2) * TICK_MS
    if (silent || (!hidden() && leaderHidden && now - visibleAt > VISIBLE_MS)) {
      leaderAt = now
      seek(true)
    } else announce(false)
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
      else if (t === 'command') {
        const key = `${from} ${message.n}`
        if (running.has(key)) return
        running.add(key)
        connection
          .request(message.frame)
          .then(
            (answer) => say({ t: 'answer', to: from, n: message.n, answer }),
            ({ code, message: why }: CarillonError) => say({ t: 'answer', to: from, n: message.n, code, message: why }),
          )
          .finally(() => running.delete(key))
      }
      return
    }
    if (t === 'want' || t === 'bye' || t === 'connect' || t === 'command') return
    leaderAt = performance.now()
    if (t === 'lead') {
      leaderHidden = message.hidden
      if (message.state) tell(message.state)
      if (!to) {
        announce(false)
        for (const [n, { frame }] of commands) forward(n, frame)
      }
    } else if (t === 'frame') host.frame(message.frame)
    else if (t === 'state') tell(message.state)
    else if (t === 'joined') host.joined(message.channels, message.position)
    else if (t === 'refused')
      host.refused(message.channels, new CarillonError(message.code, message.message, { channels: message.channels }))
    else if (t === 'missed') host.missed(message.reason)
    else if (t === 'answer')
      commands
        .get(message.n)
        ?.settle(message.answer ?? new CarillonError(message.code ?? 'closed', message.message ?? 'the leader has gone'))
  }
  function openBus() {
    bus ??= new BroadcastChannel(name)
    bus.onmessage = ({ data }: MessageEvent<Message[]>) => data.forEach(receive)
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
    openBus()
    leaderAt = performance.now()
    announce(true)
    seek()
  }

  return {
    connect() {
      if (!stopped) return connection ? connection.connect() : say({ t: 'connect' })
      stopped = false
      openBus()
      leaderAt = performance.now()
      tell(Object.freeze({ status: 'connecting', code: 'electing', reason: 'looking for a tab that is connected', attempt: 1 }))
      const interval = setInterval(tick, TICK_MS)
      pageListeners.push(() => clearInterval(interval))
      listen(window, 'pagehide', away)
      listen(document, 'freeze', away)
      listen(window, 'pageshow', back)
      listen(document, 'resume', back)
      listen(document, 'visibilitychange', () => {
        visibleAt = performance.now()
        if (connection) say({ t: 'lead', hidden: hidden(), state: null })
        else if (!hidden()) setTimeout(tick, VISIBLE_MS + 50)
      })
      announce(true)
      seek()
    },
    stop(to, code, reason) {
      if (stopped) return
      say({ t: 'bye' })
      stopped = true
      seeking?.abort()
      seeking = null
      for (const undo of pageListeners) undo()
      pageListeners = []
      yieldLead(code, reason)
      closeBus()
      for (const { settle } of [...commands.values()]) settle(new CarillonError('closed', reason))
      tell(Object.freeze({ status: to, code, reason }))
    },
    signOut: () => say({ t: 'signout' }),
    input: (type) => connection?.input(type),
    sync: () => (connection ? connection.sync() : stopped || announce(false)),
    request(frame) {
      return new Promise((resolve, reject) => {
        if (commands.size >= QUEUE) return reject(new CarillonError('queue_full', `${QUEUE} frames wait for their answers`))
        const n = ++numbers
        const settle = (answer: Frame | CarillonError) => {
          clearTimeout(timeout)
          commands.delete(n)
          answer instanceof Error ? reject(answer) : resolve(answer)
        }
        const timeout = setTimeout(
          () => settle(new CarillonError('queue_expired', `no answer came within ${QUEUE_MS / 1000} s`)),
          QUEUE_MS,
        )
        commands.set(n, { frame, settle })
        forward(n, frame)
      })
    },
  }
}
