/**
 * What does the connection do next? A pure function: state × input × time → state and effects. No network, no clock.
 *
 * Times are milliseconds of a clock that never goes back.
 */

import type { TokenReason, Transport } from './types.js'

/** What may come after an end: the same again, the same with another token, or nothing. */
export type Outcome = 'retry' | 'refused' | 'final'

export interface Ended {
  readonly type: 'ended'
  readonly outcome: Outcome
  readonly code: string
  readonly reason: string
  /** The server asks to come back after this time, not earlier. */
  readonly retryMs?: number | undefined
  /** The server itself has said this: the way to it is open. */
  readonly answered?: boolean | undefined
}

export type Input =
  /** `reopen`: the same again, with other channels, another token or from another cursor. */
  | { readonly type: 'connect' | 'token' | 'tick' | 'online' | 'offline' | 'wake' | 'reopen' }
  | { readonly type: 'stop'; readonly to: 'idle' | 'closed'; readonly code: string; readonly reason: string }
  | { readonly type: 'token_failed'; readonly code: string; readonly reason: string; readonly final: boolean }
  | { readonly type: 'welcome'; readonly heartbeatMs: number }
  | { readonly type: 'goaway'; readonly reconnectMs: number }
  | Ended

export type Effect =
  | { readonly do: 'token'; readonly reason: TokenReason }
  | { readonly do: 'open'; readonly transport: Transport }
  | { readonly do: 'drop' }
  | { readonly do: 'ping' }

/** `until`: when the next `tick` is due. */
export type Phase =
  | { readonly name: 'idle' | 'closed' | 'failed' | 'offline' }
  | { readonly name: 'token'; readonly until: number }
  /** `again`: it was open just now. */
  | { readonly name: 'opening'; readonly until: number; readonly transport: Transport; readonly again: boolean }
  | {
      readonly name: 'open'
      readonly until: number
      readonly transport: Transport
      readonly since: number
      readonly heartbeatMs: number
      /** A ping was sent then, and nothing was heard since. */
      readonly probedAt: number | null
    }
  /** `asked`: the server said how long, and nothing shortens it. */
  | { readonly name: 'waiting'; readonly until: number; readonly asked: boolean }

type Open = Extract<Phase, { name: 'open' }>

export interface Machine {
  readonly phase: Phase
  readonly code: string
  readonly reason: string
  /** Failures in a row; forgotten after a connection that lasted. */
  readonly failures: number
  /** Tokens refused since the last welcome. */
  readonly refusals: number
  /** WebSockets in a row that ended before their welcome without a word of the server. */
  readonly blocked: number
  /** An event stream brought nothing, though it was answered: something holds it back. */
  readonly streamHeldBack: boolean
  /** When a WebSocket is tried again. */
  readonly fallbackUntil: number
  readonly online: boolean
}

export const TOKEN_MS = 10_000
export const LATE = 'getToken: no answer in 10 s'
export const OPENING_MS = 10_000
export const PROBE_MS = 5_000
export const STABLE_MS = 30_000
export const FLOOR_MS = 250
export const CAP_MS = 30_000
export const FALLBACK_MS = 300_000

export const initial: Machine = {
  phase: { name: 'idle' },
  code: 'idle',
  reason: 'nothing is asked for',
  failures: 0,
  refusals: 0,
  blocked: 0,
  streamHeldBack: false,
  fallbackUntil: 0,
  online: true,
}

export interface Context {
  readonly now: number
  /** 0 ≤ random < 1. */
  readonly random: number
  /** When the last message came. */
  readonly heardAt: number
}

type Step = readonly [Machine, readonly Effect[]]

/** Nothing comes, and nothing is tried. */
export const isOver = ({ name }: Phase): boolean => name === 'failed' || name === 'closed' || name === 'idle'

/** When the next `tick` is due. */
export const deadline = ({ phase }: Machine): number | null => ('until' in phase ? phase.until : null)

const to = (machine: Machine, phase: Phase, code: string, reason: string, ...effects: Effect[]): Step => [
  { ...machine, phase, code, reason },
  effects,
]

const begin = (machine: Machine, now: number, reason: TokenReason, ...before: Effect[]): Step =>
  to(machine, { name: 'token', until: now + TOKEN_MS }, 'token', 'getToken is asked', ...before, { do: 'token', reason })

/** Full jitter, between the floor and twice as much with each failure. */
function pause(
  machine: Machine,
  now: number,
  random: number,
  code: string,
  reason: string,
  retryMs?: number,
  before: Effect[] = [],
): Step {
  if (!machine.online) return to(machine, { name: 'offline' }, 'offline', 'no network', ...before)
  const most = Math.min(CAP_MS, 2 * FLOOR_MS * 2 ** machine.failures)
  const wait = Math.max(FLOOR_MS, random * most, retryMs ?? 0)
  const phase: Phase = { name: 'waiting', until: now + wait, asked: retryMs !== undefined }
  return to({ ...machine, failures: machine.failures + 1 }, phase, code, reason, ...before)
}

/** A connection that lasted makes good for the failures before. */
const rested = (machine: Machine, { since }: Open, now: number): Machine =>
  now - since >= STABLE_MS ? { ...machine, failures: 0 } : machine

const dial = (machine: Machine, transport: Transport, now: number, again: boolean, ...before: Effect[]): Step =>
  to(machine, { name: 'opening', transport, until: now + OPENING_MS, again }, 'opening', `by ${transport}`, ...before, {
    do: 'open',
    transport,
  })

function transport(machine: Machine): Transport {
  if (machine.blocked < 2) return 'websocket'
  return machine.streamHeldBack ? 'poll' : 'sse'
}

function ended(machine: Machine, end: Omit<Ended, 'type'>, { now, random }: Context, before: Effect[] = []): Step {
  const { phase } = machine
  if (phase.name !== 'open' && phase.name !== 'opening') return [machine, before]
  let next = machine
  if (phase.name === 'open') {
    next = rested(next, phase, now)
  } else if (!end.answered) {
    if (end.code === 'no_websocket')
      return begin({ ...next, blocked: 2, fallbackUntil: now + FALLBACK_MS }, now, 'connect', ...before)
    // Neither way leads to the server: begin with the WebSocket again, and go round.
    next =
      phase.transport === 'websocket'
        ? { ...next, blocked: next.blocked + 1, fallbackUntil: next.blocked ? now + FALLBACK_MS : 0 }
        : { ...next, blocked: 1, streamHeldBack: false }
  }
  if (end.outcome === 'final') return to(next, { name: 'failed' }, end.code, end.reason, ...before)
  if (end.outcome === 'refused') {
    next = { ...next, refusals: next.refusals + 1 }
    if (next.refusals > 1) return to(next, { name: 'failed' }, 'unauthorized', `refused again: ${end.reason}`, ...before)
    return begin(next, now, 'refused', ...before)
  }
  return pause(next, now, random, end.code, end.reason, end.retryMs, before)
}

function tick(machine: Machine, context: Context): Step {
  const { phase } = machine
  const { now, heardAt } = context
  if (!('until' in phase) || now < phase.until) return [machine, []]
  switch (phase.name) {
    case 'token':
      return pause(machine, now, context.random, 'token_timeout', LATE)
    case 'waiting':
      return begin(machine, now, 'connect')
    case 'opening': {
      // An event stream that begins and brings nothing is held back on its way; a poll is not, nor one that came just now.
      const held = phase.transport === 'sse' && !phase.again
      const end = { outcome: 'retry', code: 'timeout', reason: 'no welcome', answered: held } as const
      return ended({ ...machine, streamHeldBack: machine.streamHeldBack || held }, end, context, [{ do: 'drop' }])
    }
    case 'open': {
      if (phase.transport !== 'websocket' && now >= machine.fallbackUntil)
        return begin({ ...machine, blocked: 1, streamHeldBack: false }, now, 'connect', { do: 'drop' })
      const silent = Math.max(heardAt, phase.since) + 2 * phase.heartbeatMs
      if (phase.probedAt !== null && heardAt < phase.probedAt)
        return ended(machine, { outcome: 'retry', code: 'silent', reason: 'nothing is heard' }, context, [{ do: 'drop' }])
      return now < silent ? [watch(machine, phase, silent, null), []] : probe(machine, phase, now)
    }
  }
}

const watch = (machine: Machine, phase: Open, until: number, probedAt: number | null): Machine => ({
  ...machine,
  phase: { ...phase, until: phase.transport === 'websocket' ? until : Math.min(until, machine.fallbackUntil), probedAt },
})

const probe = (machine: Machine, phase: Open, now: number): Step =>
  phase.probedAt === null ? [watch(machine, phase, now + PROBE_MS, now), [{ do: 'ping' }]] : [machine, []]

export function step(machine: Machine, input: Input, context: Context): Step {
  const { phase } = machine
  const { now, random } = context
  switch (input.type) {
    case 'connect':
      if (isOver(phase)) return begin({ ...machine, failures: 0, refusals: 0 }, now, 'connect')
      return phase.name === 'waiting' || phase.name === 'offline' ? begin(machine, now, 'connect') : [machine, []]
    case 'stop':
      return to(machine, { name: input.to }, input.code, input.reason, { do: 'drop' })
    case 'token': {
      if (phase.name !== 'token') return [machine, []]
      return dial(machine, transport(machine), now, false)
    }
    case 'reopen':
      return phase.name === 'open' ? dial(rested(machine, phase, now), phase.transport, now, true, { do: 'drop' }) : [machine, []]
    case 'token_failed':
      if (phase.name !== 'token') return [machine, []]
      return input.final
        ? to(machine, { name: 'failed' }, input.code, input.reason)
        : pause(machine, now, random, input.code, input.reason)
    case 'welcome': {
      if (phase.name !== 'opening') return [machine, []]
      const open = {
        name: 'open',
        transport: phase.transport,
        since: now,
        heartbeatMs: input.heartbeatMs,
        probedAt: null,
        until: 0,
      } as const
      const known = { ...machine, refusals: 0, blocked: phase.transport === 'websocket' ? 0 : machine.blocked }
      return [{ ...watch(known, open, now + 2 * input.heartbeatMs, null), code: 'open', reason: 'events come' }, []]
    }
    case 'goaway':
      if (phase.name !== 'open') return [machine, []]
      return to(
        rested(machine, phase, now),
        { name: 'waiting', until: now + input.reconnectMs, asked: true },
        'goaway',
        'come back',
        { do: 'drop' },
      )
    case 'ended':
      return ended(machine, input, context)
    case 'online':
    case 'wake': {
      const known = input.type === 'online' ? { ...machine, online: true } : machine
      if (phase.name === 'open') return probe(known, phase, now)
      if (phase.name === 'offline' ? known.online : phase.name === 'waiting' && !phase.asked) return begin(known, now, 'connect')
      return [known, []]
    }
    case 'offline': {
      const known = { ...machine, online: false }
      if (phase.name === 'open') return probe(known, phase, now)
      return phase.name === 'token' || phase.name === 'opening' || phase.name === 'waiting'
        ? to(known, { name: 'offline' }, 'offline', 'no network', { do: 'drop' })
        : [known, []]
    }
    case 'tick':
      return tick(machine, context)
  }
}
