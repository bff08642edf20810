/** Who is in a channel, who types there, and what do they say to those who are here now? */

import { matches } from './channels.js'
import { CarillonError } from './errors.js'
import { createListeners, once } from './listeners.js'
import type { Frame } from './transport.js'
import type { Member, PresenceSnapshot, Signal, Unsubscribe } from './types.js'

const TYPING_MS = 3_000
const TYPING_END_MS = 5_000
/** Without another `start` somebody is taken not to type any more. */
const TYPING_FORGET_MS = 10_000

export interface PeopleHost {
  user(): string | undefined
  isOpen(): boolean
  report(error: unknown): void
  failed(error: unknown): void
  request(frame: object): Promise<Frame>
}

export interface People {
  readonly presence: PresenceSnapshot
  readonly typing: readonly string[]
  onPresence(listener: (snapshot: PresenceSnapshot) => void): Unsubscribe
  onTyping(listener: (users: readonly string[]) => void): Unsubscribe
  onSignal(pattern: string, listener: (signal: Signal) => void): Unsubscribe
  start(): void
  stop(): void
  frame(frame: Frame): void
  /** The connection went: what is for the moment alone is not known any more. */
  away(): void
  /** Somebody else looks. */
  forget(): void
}

/** `missed`: who is there was told before the code came, and is asked for. */
export function createPeople(host: PeopleHost, channel: string, nobody: PresenceSnapshot, missed: boolean): People {
  let snapshot = nobody
  let users: readonly string[] = Object.freeze([])
  let signals: readonly { pattern: string; listener(signal: Signal): void }[] = []
  const presences = createListeners<PresenceSnapshot>(host.failed)
  const typings = createListeners<readonly string[]>(host.failed)
  const typing = new Map<string, ReturnType<typeof setTimeout>>()
  const heard = new Set<string>()
  let [startedAt, ending] = [0, undefined as ReturnType<typeof setTimeout> | undefined]

  function show(next: Partial<PresenceSnapshot>) {
    snapshot = Object.freeze({ ...snapshot, ...next })
    presences.emit(snapshot)
  }

  function presence({ sync, members = [], joined = [], left = [], updated = [], count, stale = false }: Frame) {
    const known = new Map<string, Member>(sync ? [] : snapshot.members.map((member) => [member.user, member]))
    for (const user of left) known.delete(user)
    for (const member of [...members, ...joined, ...updated] as Member[]) known.set(member.user, Object.freeze(member))
    show({ count, members: [...known.values()].sort((a, b) => a.since - b.since), stale: !!stale, error: null })
  }

  function types(user: string, started: boolean) {
    clearTimeout(typing.get(user))
    const was = typing.has(user)
    if (started)
      typing.set(
        user,
        setTimeout(() => types(user, false), TYPING_FORGET_MS),
      )
    else typing.delete(user)
    if (was === started) return
    users = Object.freeze([...typing.keys()])
    typings.emit(users)
  }

  function signal({ from, event }: Frame) {
    if (event.type === 'typing') return void (from !== host.user() && types(from, event.data?.state === 'start'))
    // A frame that was sent twice, because its answer was lost, is one.
    const key = event.id && `${from} ${event.id}`
    if (key && heard.has(key)) return
    if (key && heard.add(key).size > 256) heard.delete(heard.values().next().value!)
    const given: Signal = Object.freeze({ channel, from, ...event })
    for (const { pattern, listener } of signals)
      if (matches(pattern, given.type))
        try {
          listener(given)
        } catch (error) {
          host.failed(error)
        }
  }

  const refused = ({ code, message }: { code: string; message: string }) =>
    show({ stale: true, error: new CarillonError(code, message) })
  if (missed)
    host.request({ type: 'presence', channel }).then(
      ({ presence: now }) => missed && presence({ type: 'presence', sync: true, ...now[channel] }),
      (error) => missed && refused(error),
    )

  const sendTyping = (state: 'start' | 'stop') =>
    host.isOpen() && host.request({ type: 'typing', channel, state }).catch(host.report)
  function stop() {
    clearTimeout(ending)
    if (startedAt) sendTyping('stop')
    startedAt = 0
  }

  return {
    get presence() {
      return snapshot
    },
    get typing() {
      return users
    },
    onPresence: presences.add,
    onTyping: typings.add,
    onSignal(pattern, listener) {
      const entry = { pattern, listener }
      signals = [...signals, entry]
      return once(() => {
        signals = signals.filter((one) => one !== entry)
      })
    },
    start() {
      const now = performance.now()
      clearTimeout(ending)
      ending = setTimeout(stop, TYPING_END_MS)
      if (startedAt && now - startedAt < TYPING_MS) return
      startedAt = now
      sendTyping('start')
    },
    stop,
    frame(frame) {
      if (frame.type === 'signal') signal(frame)
      else if (frame.type === 'presence') presence(frame)
      else refused(frame as never)
    },
    away() {
      // The next connection tells it.
      missed = false
      for (const user of [...typing.keys()]) types(user, false)
      if (!snapshot.stale) show({ stale: true })
    },
    forget() {
      missed = false
      show(nobody)
    },
  }
}
