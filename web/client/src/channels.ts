/** Which channels are wanted, and who listens in them? */

import type { Want } from './connection.js'
import type { CarillonError } from './errors.js'
import { once } from './listeners.js'
import { isAfter } from './position.js'
import type { Frame } from './transport.js'
import type { CarillonEvent, Channel, CoreChannel, Position, Unsubscribe } from './types.js'

/** A channel is left a little after its last listener has gone: pages take a part away and put it back. */
const LINGER_MS = 250

export interface ChannelsHost {
  wake(): void
  sync(): void
  report(error: unknown): void
  /** A listener threw. */
  failed(cause: unknown): void
  /** What a channel offers beside its events. */
  more?: ((name: string, room: Room, as: InRoom) => MoreChannel) | undefined
}

export type MoreChannel = Omit<Channel, Exclude<keyof CoreChannel, 'on'>>

/** What a part of a channel needs. */
export interface InRoom {
  /** Stays in the channel. */
  hold(room: Room): Unsubscribe
  isHeld(room: Room): boolean
  add(channel: string, pattern: string, handler: Handle): Unsubscribe
  call(handler: Handle, event: CarillonEvent): Promise<unknown> | undefined
}

export type Handle = (event: CarillonEvent) => unknown

interface Entry {
  readonly channel: string | null
  readonly pattern: string
  readonly handler: Handle
}

export interface Room {
  channel: CoreChannel
  refs: number
  watchers: number
  meta?: unknown
  since: Position | null
  error: CarillonError | null
  lingering?: ReturnType<typeof setTimeout> | undefined
  waiters: { resolve(position: Position): void; reject(error: CarillonError): void }[]
  /** Who is there, and what is said to those who are. */
  people?: { frame(frame: Frame): void; forget(isAll: boolean): void; away(): void }
}

export const matches = (pattern: string, type: string) =>
  pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type

export function createChannels(host: ChannelsHost) {
  const rooms = new Map<string, Room>()
  let entries: readonly Entry[] = []
  /** Channels one is in without asking, as the last welcome told them. */
  let own: ReadonlySet<string> = new Set()
  let everything = true

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

  const heldOf = (names: readonly string[]) => names.flatMap((name) => rooms.get(name) ?? []).filter(isHeld)
  const isHeld = (room: Room) => room.refs > 0 || room.lingering !== undefined

  function add(channel: string | null, pattern: string, handler: Handle): Unsubscribe {
    const entry: Entry = { channel, pattern, handler }
    entries = [...entries, entry]
    const release = channel === null ? host.wake() : hold(rooms.get(channel)!)
    return once(() => {
      entries = entries.filter((one) => one !== entry)
      release?.()
    })
  }

  function call(handler: Handle, event: CarillonEvent): Promise<unknown> | undefined {
    try {
      const result = handler(event)
      if ((result as Promise<unknown> | undefined)?.then) return Promise.resolve(result).catch(host.failed)
    } catch (error) {
      host.failed(error)
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
      const promise = call(entry.handler, event)
      if (promise) running.push(promise)
    }
    return running
  }

  function create(name: string): Room {
    const room: Room = {
      channel: null as never,
      refs: 0,
      watchers: 0,
      since: null,
      error: null,
      waiters: [],
    }
    const more = host.more?.(name, room, { hold, isHeld, add, call })
    room.channel = {
      name,
      on: (pattern: string, handler: Handle) => add(name, pattern, handler),
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
      ...more,
    } as CoreChannel
    return room
  }

  return {
    add,
    deliver,
    channel(name: string): CoreChannel {
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
      for (const room of heldOf(names)) {
        room.since ??= position
        room.error = null
        for (const { resolve } of room.waiters.splice(0)) resolve(room.since)
      }
    },
    refused(names: readonly string[], error: CarillonError) {
      for (const room of heldOf(names)) {
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
      for (const room of rooms.values()) {
        if (room.since) room.since = position
        room.people?.forget(!position)
        if (position) continue
        room.error = null
        room.meta = undefined
      }
      if (position) return
      own = new Set()
    },
    frame(frame: Frame) {
      const { type, channel, channels = [channel] } = frame
      if (type === 'signal' || type === 'presence' || type === 'error')
        for (const name of channels) rooms.get(name)?.people?.frame(frame)
    },
    /** The connection went: what is for the moment alone is not known any more. */
    away() {
      for (const room of rooms.values()) room.people?.away()
    },
  }
}
