/** Which events has this tab seen, in which order, and up to where were they handled? */

import { isAfter } from './position.js'
import type { Frame } from './transport.js'
import type { CarillonEvent, Position, Resync } from './types.js'

export interface StreamHost {
  /** Calls the handlers; the promises they returned. */
  deliver(event: CarillonEvent): Promise<unknown>[]
  resync(resync: Resync): void
  /** Everything up to here was handled. */
  handled(position: Position): void
}

export interface Stream {
  /** Everything up to here was given to the handlers. */
  readonly seen: Position | null
  /** Everything up to here was handled: their promises are settled, too. */
  readonly handled: Position | null
  /** `<seq>:<id>` of the last event seen. */
  readonly last: string | undefined
  readonly tenant: string
  frame(frame: Frame): void
  /** Begin here. */
  start(position: Position | null): void
}

export function createStream(host: StreamHost): Stream {
  let seen: Position | null = null
  let handled: Position | null = null
  let last: string | undefined
  let tenant = ''
  /** Positions whose handlers are not done, in the order of the log. */
  let running: Position[] = []

  function move(position: Position) {
    seen = position
    if (!running.length) settle(position)
  }

  function settle(position: Position) {
    handled = position
    host.handled(position)
  }

  function event(frame: Frame) {
    // Where this tab begins is not known yet.
    if (!seen) return
    const { epoch } = seen
    if (frame.replay !== undefined || !isAfter(frame.seq, epoch, seen)) return
    const position = { seq: frame.seq, epoch }
    const before = running
    const promises = host.deliver(eventOf(frame, epoch, tenant))
    // A handler has called `switch` or `identify`: it begins elsewhere.
    if (running !== before) return
    last = `${frame.seq}:${frame.event.id}`
    seen = position
    if (!promises.length) return void (running.length || settle(position))
    running.push(position)
    Promise.allSettled(promises).then(() => {
      const at = running.indexOf(position)
      if (at < 0) return
      running.splice(at, 1)
      // The cursor stops before the first that is not done.
      const first = running[0]
      const upTo = !first ? seen : at === 0 ? { seq: first.seq - 1, epoch: first.epoch } : null
      if (upTo) settle(upTo)
    })
  }

  return {
    get seen() {
      return seen
    },
    get handled() {
      return handled
    },
    get last() {
      return last
    },
    get tenant() {
      return tenant
    },
    start(position) {
      running = []
      seen = handled = position
      last = undefined
      tenant = ''
    },
    frame(frame) {
      const { type, seq, epoch = seen?.epoch } = frame
      if (type === 'welcome') {
        tenant = frame.tenant
        // What was missed follows; with a cursor that is of no use a `reset` does. The same log may go on in another epoch.
        if (!seen || (seen.epoch !== epoch && frame.resumed !== 'reset')) move({ seq: seen?.seq ?? seq, epoch })
      } else if (type === 'event') event(frame)
      else if (type === 'reset') {
        running = []
        last = undefined
        move({ seq, epoch })
        host.resync({ reason: frame.reason, position: { seq, epoch } })
      } else if (seq !== undefined && epoch && (type === 'heartbeat' || type === 'pong')) {
        if (!seen || frame.epoch || seq > seen.seq) move({ seq: frame.epoch ? seq : Math.max(seq, seen?.seq ?? 0), epoch })
      }
    },
  }
}

/** An event frame, as handlers get it. */
export function eventOf({ event, seq, channels, replay }: Frame, epoch: string, tenant: string): CarillonEvent {
  // As an attribute of a CloudEvent it is a text.
  const notify = typeof event.notify === 'string' ? JSON.parse(event.notify) : event.notify
  return Object.freeze({
    ...event,
    ...(notify && { notify }),
    seq,
    epoch,
    tenant,
    channels,
    ...(replay !== undefined && { replay: true as const }),
  })
}
