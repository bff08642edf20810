/**
 * How do the clients of several tenants share one connection?
 *
 * Each has its own state machine, cursor and channels, and opens a link as one that is alone does. The first makes the connection; the
 * others come into it with `attach`. What the server says goes to the client of its tenant. Needed by those alone who `attach` or `switch`.
 */

import { claims, rolesOf } from './claims.js'
import type { Ended } from './machine.js'
import { end, type Frame, type Hello, type Link, type Open, open as openAlone, type Receiver } from './transport.js'

/** Refusals of `attach` and `switch`, and ends, that do not pass by themselves. */
const FINAL = [
  'forbidden',
  'unknown_tenant',
  'tenant_suspended',
  'too_many_tenants',
  'too_many_channels',
  'invalid_frame',
  'disconnected_by_admin',
]

/** A client waits 5 s for what shows that the connection is alive. Clocks are not exact. */
const DEAD_MS = 4_900

interface Member {
  readonly hello: Hello
  readonly to: Receiver
  readonly open: (to: Receiver) => Link
  tenant: string | undefined
  /** `in`: the server says so. */
  phase: 'waiting' | 'asked' | 'in'
  /** Nobody hears it any more. Where it is the only tenant the server does not let it go, so it is left once another is in. */
  gone: boolean
}

interface Asked {
  readonly member: Member
  /** As the client has named it. */
  readonly id: unknown
  readonly joins?: 'attach' | 'switch'
  readonly token?: string | undefined
}

export interface Shared {
  readonly open: Open
  /** The connection is kept for so long though nobody is in it, for who comes into another tenant. 0: it is not kept any longer. */
  keep(milliseconds: number): void
}

export function createShared(openLink: Open = openAlone): Shared {
  let socket: Link | null = null
  /** The connection has had its first welcome. */
  let isOpen = false
  /** What the server has been given last. */
  let token = ''
  /** A frame was sent then that is always answered, and nothing has come since. */
  let unansweredAt = 0
  /** In the order in which they came. */
  let members: Member[] = []
  const asked = new Map<number, Asked>()
  let ids = 0
  let kept: ReturnType<typeof setTimeout> | undefined
  /** The rate of the connection is for all of them together. */
  let queue: object[] = []
  let [room, roomAt, rate] = [200, 0, 40]
  let pacing = false

  const remove = (member: Member) => {
    members = members.filter((one) => one !== member)
  }
  const isIn = ({ phase }: Member) => phase === 'in'
  const isHere = ({ gone }: Member) => !gone
  const isOther = ({ hello }: Member) => claims(hello.token).sub !== claims(token).sub

  /** The connection is over: `stays` come into the next, the others are told. */
  function giveUp(tell: (member: Member) => void = () => {}, stays = (_: Member) => false) {
    const held = socket
    const all = members.filter(isHere)
    const told = all.filter((one) => !stays(one))
    members = all.filter(stays)
    for (const one of members) one.phase = 'waiting'
    socket = null
    isOpen = false
    unansweredAt = 0
    asked.clear()
    queue = []
    held?.close()
    advance()
    told.forEach(tell)
  }
  const retry =
    (...given: [code: string, reason: string, ms?: number]) =>
    ({ to }: Member) =>
      to.ended(end('retry', ...given))

  function transmit(frame: Frame, from?: Asked) {
    token = frame.token ?? token
    if (from?.joins || frame.type === 'ping') unansweredAt ||= performance.now()
    if (from) asked.set(++ids, from)
    queue.push(from ? { ...frame, id: ids } : frame)
    pace()
  }
  function pace() {
    const now = performance.now()
    room = Math.min(5 * rate, room + ((now - roomAt) * rate) / 1000)
    roomAt = now
    while (queue.length && room >= 1) {
      room--
      socket?.send(queue.shift()!)
    }
    if (!queue.length || pacing) return
    pacing = true
    setTimeout(() => {
      pacing = false
      pace()
    }, 1000 / rate)
  }

  /** Whoever waits comes in: by a connection of its own, or into the one that is there, unless that is another person's. */
  function advance() {
    const waiting = members.filter(({ phase, gone }) => phase === 'waiting' && !gone)
    const [first] = waiting
    if (!first) return
    if (socket && waiting.some(isOther)) return giveUp(retry('identity_changed', 'another person'), isOther)
    if (!socket) {
      first.phase = 'asked'
      token = first.hello.token
      const mine: Link = first.open({
        frame: (frame) => mine === socket && receive(frame, first),
        ended: (how) => mine === socket && ended(how),
      })
      socket = mine
    } else if (isOpen) waiting.forEach(attach)
  }

  function attach(member: Member) {
    member.phase = 'asked'
    // The tenant without a name of the client that attaches: the server would refuse it again and again.
    if (members.some((one) => one !== member && isIn(one) && !one.gone && one.tenant === member.tenant)) {
      remove(member)
      return member.to.ended(end('final', 'already_attached', `another client is for ${member.tenant}`))
    }
    // A newer token may name other tenants; an older one would take them away.
    const fresh = member.hello.token
    if (fresh !== token && !(claims(fresh).exp! < claims(token).exp!))
      transmit({ type: 'auth', token: fresh }, { member, id: undefined, token: fresh })
    const { channels, types, cursor, last } = member.hello
    // Only those are there whom nobody hears any more.
    const joins = kept && members.every((one) => one.gone || one === member) ? 'switch' : 'attach'
    const frame = { type: joins, tenant: member.tenant, channels, types, since: cursor?.seq, epoch: cursor?.epoch, last }
    transmit(frame, { member, id: undefined, joins })
  }

  /** Leaves what nobody hears any more, and ends the connection with the last. */
  function settle() {
    if (!members.some(isHere)) {
      if (!kept || !members.some(isIn)) giveUp()
      return
    }
    if (members.some((one) => isIn(one) && !one.gone))
      for (const member of members.filter((one) => isIn(one) && one.gone)) {
        remove(member)
        transmit({ type: 'detach', tenant: member.tenant }, { member, id: undefined })
      }
  }

  function keep(milliseconds: number) {
    clearTimeout(kept)
    kept = milliseconds ? setTimeout(keep, milliseconds, 0) : undefined
    if (!kept) settle()
  }

  function leave(member: Member) {
    if (!members.includes(member)) return
    member.gone = true
    if (member.phase === 'waiting') remove(member)
    // The connection was being made for this one: the next makes its own.
    else if (!isOpen) return giveUp(undefined, isHere)
    // Who leaves has waited in vain, and so would the others.
    if (unansweredAt && performance.now() - unansweredAt > DEAD_MS) return giveUp(retry('silent', 'nothing is heard'))
    settle()
  }

  function joined(member: Member, frame: Frame, joins?: Asked['joins']) {
    if (frame.type !== 'welcome') {
      remove(member)
      settle()
      if (!member.gone) member.to.ended(refusal(frame))
      return
    }
    if (joins === 'switch') members = members.filter(isHere)
    rate = 0.8 * (frame.limits?.frames_per_second ?? 50)
    member.phase = 'in'
    member.tenant = frame.tenant
    isOpen = true
    if (!member.gone) member.to.frame(frame)
    settle()
    advance()
  }

  function receive(frame: Frame, first: Member) {
    unansweredAt = 0
    const { type, id, tenant } = frame
    const known = asked.get(id)
    if (known) {
      asked.delete(id)
      if (known.joins) return joined(known.member, frame, known.joins)
      if (!known.member.gone && isIn(known.member)) known.member.to.frame({ ...frame, id: known.id })
      // One of them has refreshed the token of all.
      const { token } = known
      if (token && type === 'ok')
        for (const one of members)
          if (isIn(one) && !one.gone && one !== known.member)
            one.to.frame({ type: 'roles', user: claims(token).sub, roles: rolesOf(token, one.tenant) })
    } else if (type === 'welcome') joined(first, frame)
    else if (type === 'goaway') {
      const later = retry(type, 'come back elsewhere', frame.reconnect_ms)
      giveUp((one) => (isIn(one) ? one.to.frame(frame) : later(one)))
    } else {
      // Without a tenant it is about the only one that the connection is in, or about the connection: then one of them sees to it.
      const of = members.find((one) => isIn(one) && !one.gone && (tenant === undefined || one.tenant === tenant))
      if (!of) return
      if (type !== 'detached') return of.to.frame(frame)
      remove(of)
      settle()
      of.to.ended(refusal({ type, code: detached[frame.reason] ?? 'forbidden', message: `detached: ${frame.reason}` }))
    }
  }

  function ended(how: Ended) {
    // A refusal before the welcome is about the one for whom the connection was made; an end after it, about those who were in.
    giveUp(
      ({ to }) => to.ended(how),
      ({ phase }) => how.outcome !== 'retry' && phase !== (isOpen ? 'in' : 'asked'),
    )
  }

  return {
    open(transport, base, hello, to, WebSocket) {
      if (transport !== 'websocket') return openLink(transport, base, hello, to, WebSocket)
      const member: Member = {
        hello,
        to,
        open: (mine) => openLink('websocket', base, hello, mine, WebSocket),
        tenant: hello.tenant ?? claims(hello.token).tenant,
        phase: 'waiting',
        gone: false,
      }
      members.push(member)
      queueMicrotask(advance)
      return {
        send(frame) {
          if (!isIn(member) || !members.includes(member)) return
          const { id, ...rest } = frame as Frame
          const named = rest.type === 'auth' ? rest : { ...rest, tenant: member.tenant }
          transmit(named, id === undefined ? undefined : { member, id, token: rest.token })
        },
        close: () => leave(member),
      }
    },
    keep,
  }
}

const detached: Record<string, string> = { disconnected: 'disconnected_by_admin', suspended: 'tenant_suspended' }
const refusal = ({ code, message, retry_ms, channels }: Frame): Ended => {
  const how = end(FINAL.includes(code) ? 'final' : 'retry', code, message ?? code, retry_ms)
  return channels ? ({ ...how, channels } as Ended) : how
}
