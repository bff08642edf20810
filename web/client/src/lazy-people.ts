/** How is who is in a channel there at once, and its code only when it is used? */

import type { InRoom, Room } from './channels.js'
import { lazy } from './lazy.js'
import { all, once } from './listeners.js'
import type { PeopleHost } from './people.js'
import type { Channel, PresenceSnapshot, Signal, Unsubscribe } from './types.js'

const NOBODY: PresenceSnapshot = Object.freeze({ count: 0, members: [], stale: true, error: null })
const NO_ONE: readonly string[] = Object.freeze([])

export function lazyPeople(
  host: PeopleHost & { sync(): void },
  name: string,
  room: Room,
  { hold, isHeld }: InRoom,
): Pick<Channel, 'onSignal' | 'typing' | 'presence'> {
  /** Counts what ends the validity of frames: another person, and the end of a connection. */
  let turns = 0
  const people = lazy(
    async (late) => (await import('./people.js')).createPeople(host, name, NOBODY, late && room.watchers > 0),
    host.report,
  )
  room.people = {
    /** What comes while its code is on the way is told then, in its order. */
    frame(frame) {
      if (people.now) people.now.frame(frame)
      else if (people.begun) {
        const mine = turns
        people.get().then((made) => mine === turns && made.frame(frame), host.report)
      }
    },
    forget(isAll) {
      turns++
      if (isAll) people.now?.forget()
    },
    away() {
      turns++
      people.now?.away()
    },
  }
  /** Stays, and asks who is there. */
  function watch(): Unsubscribe {
    const release = hold(room)
    if (room.watchers++ === 0) host.sync()
    return once(() => {
      room.watchers--
      if (!room.watchers) host.sync()
      release()
    })
  }

  return {
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
          watch(),
        ),
      async set(meta) {
        room.meta = meta
        if (host.isOpen() && isHeld(room)) await host.request({ type: 'presence', channel: name, meta })
      },
    },
  }
}
