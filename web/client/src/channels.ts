/** Which channels are wanted, and who listens in them? */

import type { Want } from './connection.js'
import { CarillonError } from './errors.js'
import { type Lazy, lazy, once } from './lazy.js'
import type { People } from './people.js'
import { isAfter } from './position.js'
import type { Past } from './reads.js'
import type { Frame } from './transport.js'
import type {
  CarillonEvent,
  Channel,
  HistoryPage,
  Live,
  LiveOptions,
  Position,
  PresenceSnapshot,
  Published,
  PublishOptions,
  Signal,
  Unsubscribe,
} from './types.js'

/** A channel is left a little after its last listener has gone: pages take a part away and put it back. */
const LINGER_MS = 250

export interface ChannelsHost {
  wake(): void
  sync(): void
  request(frame: object): Promise<Frame>
  isOpen(): boolean
  user(): string | undefined
  publish(channel: string, type: string, data: unknown, options?: PublishOptions): Promise<Published>
  history(channel: string, options: Past): Promise<HistoryPage>
  latest(channel: string): Promise<HistoryPage>
  live<State>(options: LiveOptions<State> & { channels?: readonly string[] }): Live<State>
  report(error: unknown): void
}

interface Entry {
  readonly channel: string | null
  readonly pattern: string
  readonly handler: (event: CarillonEvent) => unknown
  /** Events wait here while the past is read. */
  waiting: CarillonEvent[] | null
  past: Promise<void> | null
  /** How far the past was read: the log was ahead of the connection, and it tells these again. */
  readTo: Position | null
}

interface Room {
  readonly channel: Channel
  refs: number
  watchers: number
  meta: unknown
  since: Position | null
  error: CarillonError | null
  lingering: ReturnType<typeof setTimeout> | undefined
  waiters: { resolve(position: Position): void; reject(error: CarillonError): void }[]
  readonly people: Lazy<People>
}

const NOBODY: PresenceSnapshot = Object.freeze({ count: 0, members: [], stale: true, error: null })
const NO_ONE: readonly string[] = Object.freeze([])

export const matches = (pattern: string, type: string) =>
  pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type

const all = (...undo: Unsubscribe[]) =>
  once(() => {
    for (const one of undo) one()
  })

export function createChannels(host: ChannelsHost) {
  const rooms = new Map<string, Room>()
  let entries: readonly Entry[] = []
  /** Channels one is in without asking, as the last welcome told them. */
  let own: ReadonlySet<string> = new Set()
  let everything = true
  /** Counts what ends the validity of frames: another person, and the end of a connection. */
  let turns = 0

  const failed = (cause: unknown) => host.report(new CarillonError('handler', `a listener threw: ${cause}`, { cause }))

  function hold(room: Room): Unsubscribe {
    clearTimeout(room.lingering)
    if (room.refs++ === 0 && room.lingering === undefined) {
      room.error = null
      host.sync()
    }
    room.lingering = undefined
    host.wake()
    return once(() => {
      if (--room.refs === 0)
        room.lingering = setTimeout(() => {
          room.lingering = undefined
          room.since = null
          host.sync()
        }, LINGER_MS)
    })
  }

  function watch(room: Room): Unsubscribe {
    const release = hold(room)
    if (room.watchers++ === 0) host.sync()
    return once(() => {
      room.watchers--
      if (!room.watchers) host.sync()
      release()
    })
  }

  const isHeld = (room: Room) => room.refs > 0 || room.lingering !== undefined

  function add(channel: string | null, pattern: string, handler: Entry['handler'], history?: number): Unsubscribe {
    const entry: Entry = { channel, pattern, handler, waiting: history ? [] : null, past: null, readTo: null }
    entries = [...entries, entry]
    const release = channel === null ? host.wake() : hold(rooms.get(channel)!)
    if (history)
      entry.past = past(entry, history)
        .catch(host.report)
        .then(() => {
          if (entries.includes(entry)) for (const event of entry.waiting!) call(entry, event)
          entry.waiting = null
        })
    return once(() => {
      entries = entries.filter((one) => one !== entry)
      release?.()
    })
  }

  /** First the past, then what came while it was read. */
  async function past(entry: Entry, limit: number) {
    const channel = rooms.get(entry.channel!)!.channel
    const from = await channel.ready()
    const page = await host.history(channel.name, { limit, type: entry.pattern, upTo: from })
    entry.readTo = page.position
    const late = entry.waiting!
    const events = [...page.events]
    const next = () => entries.includes(entry) && entry.waiting === late && (events.shift() ?? late.shift())
    for (let event = next(); event; event = next()) await call(entry, event)
  }

  function call({ handler, readTo }: Entry, event: CarillonEvent): Promise<unknown> | undefined {
    if (readTo && !event.replay && !isAfter(event.seq, event.epoch, readTo)) return undefined
    try {
      const result = handler(event)
      if (result && typeof (result as Promise<unknown>).then === 'function') return Promise.resolve(result).catch(failed)
    } catch (error) {
      failed(error)
    }
    return undefined
  }

  /** The event is this tab's: by a channel of its own, or one that was joined here before it. */
  const inChannel = (name: string, { seq, epoch }: CarillonEvent) => {
    const room = rooms.get(name)
    return !!room && isHeld(room) && !!room.since && isAfter(seq, epoch, room.since)
  }

  function deliver(event: CarillonEvent): Promise<unknown>[] {
    const running: Promise<unknown>[] = []
    const mine = event.channels.filter((name) => own.has(name) || inChannel(name, event))
    if (!mine.length && !everything) return running
    const before = own
    for (const entry of entries) {
      // A handler has called `switch` or `identify`: this is not for who is there now.
      if (own !== before) break
      if (!matches(entry.pattern, event.type) || (entry.channel !== null && !mine.includes(entry.channel))) continue
      if (entry.waiting) {
        entry.waiting.push(event)
        running.push(entry.past!)
        continue
      }
      const promise = call(entry, event)
      if (promise) running.push(promise)
    }
    return running
  }

  /** What comes while its code is on the way is told then, in its order. */
  function tell({ people }: Room, frame: Frame) {
    if (people.now) people.now.frame(frame)
    else if (people.begun) {
      const mine = turns
      people.get().then((made) => mine === turns && made.frame(frame), host.report)
    }
  }

  function create(name: string): Room {
    const people = lazy(
      async (late) => (await import('./people.js')).createPeople({ ...host, failed }, name, NOBODY, late && room.watchers > 0),
      host.report,
    )
    const channel: Channel = {
      name,
      on: (pattern, handler, options) => add(name, pattern, handler as Entry['handler'], options?.history),
      join: () => hold(room),
      ready: () =>
        room.error
          ? Promise.reject(room.error)
          : room.since
            ? Promise.resolve(room.since)
            : new Promise((resolve, reject) => {
                room.waiters.push({ resolve, reject })
              }),
      get error() {
        return room.error
      },
      history: (options = {}) => host.history(name, options),
      latest: () => host.latest(name),
      publish: (type, data, options) => host.publish(name, type, data, options),
      onSignal: (pattern, listener) =>
        all(
          people.later((made) => made.onSignal(pattern, listener as (signal: Signal) => void)),
          hold(room),
        ),
      typing: {
        start: () => void people.get().then((made) => made.start(), host.report),
        stop: () => void people.get().then((made) => made.stop(), host.report),
        get users() {
          return people.now?.typing ?? NO_ONE
        },
        on: (listener) =>
          all(
            people.later((made) => made.onTyping(listener)),
            hold(room),
          ),
      },
      presence: {
        get snapshot() {
          return people.now?.presence ?? NOBODY
        },
        on: (listener) =>
          all(
            people.later((made) => made.onPresence(listener)),
            watch(room),
          ),
        async set(meta) {
          room.meta = meta
          if (host.isOpen() && isHeld(room)) await host.request({ type: 'presence', channel: name, meta })
        },
      },
      state: (options) => host.live({ ...options, channels: [name] }),
    }
    const room: Room = {
      channel,
      refs: 0,
      watchers: 0,
      meta: undefined,
      since: null,
      error: null,
      lingering: undefined,
      waiters: [],
      people,
    }
    return room
  }

  return {
    add,
    deliver,
    channel(name: string): Channel {
      const room = rooms.get(name) ?? create(name)
      rooms.set(name, room)
      return room.channel
    },
    wanted(): ReadonlyMap<string, Want> {
      const wanted = new Map<string, Want>()
      for (const [name, room] of rooms)
        if (isHeld(room) && room.error?.code !== 'forbidden') wanted.set(name, { watch: room.watchers > 0, meta: room.meta })
      return wanted
    },
    joined(names: readonly string[], position: Position) {
      for (const name of names) {
        const room = rooms.get(name)
        if (!room || !isHeld(room)) continue
        room.since ??= position
        room.error = null
        for (const { resolve } of room.waiters.splice(0)) resolve(room.since)
      }
    },
    refused(names: readonly string[], error: CarillonError) {
      for (const name of names) {
        const room = rooms.get(name)
        if (!room || !isHeld(room)) continue
        room.error = error
        room.since = null
        host.report(error)
        for (const { reject } of room.waiters.splice(0)) reject(error)
      }
    },
    welcome({ user, roles = [] }: Frame) {
      own = new Set(['tenant', `user:${user}`, ...roles.map((role: string) => `role:${role}`)])
      // An API key gets all there is.
      everything = `${user}`.startsWith('key')
    },
    /** The epoch is another one: positions of before say nothing. Null: the person is another one, and gets nothing of the one before. */
    restart(position: Position | null) {
      turns++
      for (const room of rooms.values()) {
        if (room.since) room.since = position
        if (position) continue
        room.error = null
        room.meta = undefined
        room.people.now?.forget()
      }
      if (position) return
      own = new Set()
      // What waits for the past to be read is the other person's, too.
      for (const entry of entries) entry.waiting &&= []
    },
    frame(frame: Frame) {
      const { type, channel, channels = [channel] } = frame
      if (type === 'signal' || type === 'presence' || type === 'error')
        for (const name of channels) {
          const room = rooms.get(name)
          if (room) tell(room, frame)
        }
    },
    /** The connection went: what is for the moment alone is not known any more. */
    away() {
      turns++
      for (const room of rooms.values()) room.people.now?.away()
    },
  }
}
