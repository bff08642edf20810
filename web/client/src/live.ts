/** How do rows that are loaded once stay right, from exactly where they were read? */

import { matches } from './channels.js'
import type { Kit, Reading } from './features.js'
import { createListeners, type Listeners } from './listeners.js'
import { isAfter, parsePosition } from './position.js'
import type { CarillonEvent, HistoryPage, Live, LiveOptions, LiveSnapshot, Position, Unsubscribe } from './types.js'

const RETRY_MS = [1_000, 2_000, 5_000, 10_000, 30_000]

export interface LiveHost {
  /** Calls `handler` for each event of these channels (null: all). `ready` says from where on, as it is now. */
  join(
    channels: readonly string[] | null,
    patterns: readonly string[],
    handler: (event: CarillonEvent) => void,
  ): {
    /** Everything after this position comes from now on. */
    ready(): Promise<Position>
    leave: Unsubscribe
  }
  /** What came after `position`, up to `upTo` at least. */
  since(channels: readonly string[] | null, position: Position, upTo: Position): Promise<HistoryPage>
  onResync(listener: () => void): Unsubscribe
  /** Another number: another person, who is shown nothing of the one before. */
  person(): number
  onIdentify(listener: () => void): Unsubscribe
  /** Nothing is to be asked for any more, until it is open again. */
  isClosed(): boolean
  onOpen(listener: () => void): Unsubscribe
  report(error: unknown): void
}

/** What rows need of their client. */
export function hostOf(kit: Kit, reading: Reading, starts: Listeners<Position>): LiveHost {
  return {
    join(names, patterns, handler) {
      // A channel is made when it is first named.
      for (const name of names ?? []) kit.channels.channel(name)
      const undo = (names ?? [null]).flatMap((name) => patterns.map((pattern) => kit.channels.add(name, pattern, handler)))
      const whole = () =>
        kit.stream.seen
          ? Promise.resolve(kit.stream.seen)
          : new Promise<Position>((resolve) => {
              const stop = starts.add((position) => {
                stop()
                resolve(position)
              })
            })
      return {
        ready: async () => {
          if (!names) return whole()
          const all = await Promise.all(names.map((name) => kit.channels.channel(name).ready()))
          const { seen } = kit.stream
          // In a channel for some time, the stream has passed the place where it was joined.
          return all.reduce((a, b) => (b.seq > a.seq ? b : a), seen?.epoch === all[0]?.epoch ? seen! : all[0]!)
        },
        leave() {
          for (const one of undo) one()
        },
      }
    },
    since: (names, position, upTo) => reading((reads, reader) => reads.since(reader, names ?? [null], { since: position, upTo })),
    onResync: kit.resyncs.add,
    person: kit.gone,
    onIdentify: kit.identified.add,
    isClosed: () => kit.state().status === 'closed',
    onOpen: (listener) => kit.states.add(({ status }) => status === 'open' && listener()),
    report: kit.thrown,
  }
}

export function createLive<State>(
  host: LiveHost,
  options: LiveOptions<State> & { channels?: readonly string[] },
  /** For whom it was asked for: by now there may be another person. */
  person: number,
): Live<State> {
  type Snapshot = LiveSnapshot<State>
  const { load, apply, types = ['*'], initial, channels = null } = options
  const first = parsePosition(initial?.position)
  const nothing: Snapshot = Object.freeze({ status: 'loading', value: undefined, error: null, position: null })
  let snapshot: Snapshot =
    initial && first ? Object.freeze({ status: 'live', value: initial.value, error: null, position: first }) : nothing
  /** As the events say; what is shown has the patches on top. */
  let value = snapshot.value as State
  let patches: readonly { change(value: State): State }[] = []
  let [waiting, generation, failures] = [[] as CarillonEvent[] | null, 0, 0]
  let stop: (() => void) | null = null
  let abort: AbortController | null = null
  let timer: ReturnType<typeof setTimeout> | undefined
  let joined: () => Promise<Position>

  const listeners = createListeners<Snapshot>(host.report, (any) => (any ? start() : end()))

  function show(next: Partial<Snapshot>) {
    const shown = patches.reduce((so, { change }) => change(so), value)
    snapshot = Object.freeze({ ...snapshot, value: shown, ...next } as Snapshot)
    listeners.emit(snapshot)
  }

  function fold(event: CarillonEvent): boolean {
    if (!isAfter(event.seq, event.epoch, snapshot.position)) return false
    const before = value
    value = apply(value, event)
    snapshot = Object.freeze({ ...snapshot, position: { seq: event.seq, epoch: event.epoch } } as Snapshot)
    return value !== before
  }

  function event(one: CarillonEvent) {
    if (waiting) waiting.push(one)
    else if (fold(one)) show({})
  }

  function start() {
    const { ready, leave } = host.join(channels, types, event)
    joined = ready
    const quiet = [
      host.onResync(() => void run(false)),
      host.onOpen(() => snapshot.status === 'failed' && void run(false)),
      host.onIdentify(() => {
        forget()
        listeners.emit(snapshot)
        void run(false)
      }),
    ]
    stop = () => {
      leave()
      for (const undo of quiet) undo()
    }
    forget()
    void run(snapshot.status === 'live')
  }

  /** Also who does not listen while the person changes finds nothing of the one before. */
  function forget() {
    if (person === host.person()) return
    person = host.person()
    snapshot = nothing
    value = undefined as State
    patches = []
  }

  function end() {
    stop?.()
    stop = null
    generation++
    abort?.abort()
    clearTimeout(timer)
    waiting = []
  }

  /** `known`: the rows are there, and only what came since is wanted. */
  async function run(known: boolean): Promise<void> {
    const mine = ++generation
    clearTimeout(timer)
    abort?.abort()
    abort = new AbortController()
    waiting = []
    if (!known && snapshot.status !== 'loading') show({ status: 'loading', error: null })
    try {
      const from = await joined()
      if (mine !== generation) return
      let position = snapshot.position
      if (!known) {
        const loaded = await load({ signal: abort.signal })
        if (mine !== generation) return
        position = parsePosition(loaded.position)
        if (!position) throw new TypeError(`load gave no position: ${JSON.stringify(loaded.position)}`)
        value = loaded.value
        patches = []
      }
      snapshot = Object.freeze({ ...snapshot, position } as Snapshot)
      if (position!.epoch !== from.epoch) {
        if (known) return run(false)
      } else if (position!.seq < from.seq) {
        // Between what was read and where the channel begins there may be events.
        const page = await host.since(channels, position!, from)
        if (mine !== generation) return
        if (page.more) return run(false)
        for (const one of page.events) if (types.some((pattern) => matches(pattern, one.type))) fold(one)
      }
      for (const one of waiting.splice(0)) fold(one)
      waiting = null
      failures = 0
      show({ status: 'live', error: null })
    } catch (error) {
      if (mine !== generation) return
      show({ status: 'failed', error } as Partial<Snapshot>)
      if (!host.isClosed()) timer = setTimeout(() => void run(false), RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)])
    }
  }

  return {
    get snapshot() {
      forget()
      return snapshot
    },
    on: (listener) => listeners.add(listener),
    async reload() {
      if (stop) await run(false)
    },
    patch(change) {
      const patch = { change }
      patches = [...patches, patch]
      show({})
      return () => {
        if (!patches.includes(patch)) return
        patches = patches.filter((one) => one !== patch)
        show({})
      }
    },
  }
}
