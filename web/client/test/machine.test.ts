import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  CAP_MS,
  type Context,
  deadline,
  type Effect,
  type Ended,
  FALLBACK_MS,
  FLOOR_MS,
  type Input,
  initial,
  type Machine,
  OPENING_MS,
  STABLE_MS,
  step,
} from '../src/machine.js'
import { endOfClose } from '../src/transport.js'

const ended = (more: Partial<Ended> = {}): Ended => ({ type: 'ended', outcome: 'retry', code: 'close_1006', reason: '', ...more })

const anyInput: fc.Arbitrary<Input> = fc.oneof(
  fc.constantFrom('connect', 'token', 'tick', 'online', 'offline', 'wake', 'reopen').map((type) => ({ type }) as Input),
  fc.constantFrom('idle', 'closed').map((to) => ({ type: 'stop', to, code: 'x', reason: 'x' }) as Input),
  fc.boolean().map((final) => ({ type: 'token_failed', code: 'token_failed', reason: 'x', final }) as Input),
  fc.integer({ min: 1_000, max: 60_000 }).map((heartbeatMs) => ({ type: 'welcome', heartbeatMs }) as Input),
  fc.integer({ min: 0, max: 60_000 }).map((reconnectMs) => ({ type: 'goaway', reconnectMs }) as Input),
  fc
    .record({
      outcome: fc.constantFrom('retry' as const, 'refused' as const, 'final' as const),
      retryMs: fc.option(fc.integer({ min: 0, max: 60_000 }), { nil: undefined }),
      answered: fc.boolean(),
    })
    .map((more) => ended(more)),
)
const anyRun = fc.array(
  fc.record({
    input: anyInput,
    passes: fc.nat(40_000),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
    heard: fc.boolean(),
  }),
  { maxLength: 60 },
)

interface Told {
  before: Machine
  after: Machine
  input: Input
  effects: readonly Effect[]
  now: number
}

/** Runs the inputs, and shows each step. */
function play(
  run: { input: Input; passes: number; random: number; heard: boolean }[],
  look: (told: Told) => void,
): [Machine, number] {
  let [machine, now, heardAt] = [initial, 0, 0]
  for (const { input, passes, random, heard } of run) {
    now += passes
    if (heard) heardAt = now
    const [after, effects] = step(machine, input, { now, random, heardAt })
    look({ before: machine, after, input, effects, now })
    machine = after
  }
  return [machine, now]
}

/** The inputs one after the other, a second apart. */
function steps(...inputs: (Input | [Input, Partial<Context>])[]): Machine {
  let [machine, now] = [initial, 0]
  for (const one of inputs) {
    const [input, context] = Array.isArray(one) ? one : [one, {}]
    now = context.now ?? now + 1
    machine = step(machine, input, { now, random: 0.5, heardAt: now, ...context })[0]
  }
  return machine
}
const fail = (transportFails = ended()): Input[] => [{ type: 'connect' }, { type: 'token' }, transportFails]

test('there is never a second link beside the first', () => {
  fc.assert(
    fc.property(anyRun, (run) => {
      let links = 0
      play(run, ({ input, effects, before }) => {
        // A link that has ended by itself is gone.
        if (input.type === 'ended' && (before.phase.name === 'open' || before.phase.name === 'opening')) links = 0
        for (const effect of effects) {
          if (effect.do === 'drop') links = 0
          if (effect.do === 'open') expect(++links).toBe(1)
        }
      })
    }),
    { numRuns: 2_000 },
  )
})

test('whoever is connected again is given the same time as at first, and nothing else than a stop or an end goes before', () => {
  fc.assert(
    fc.property(anyRun, (run) => {
      play(run, ({ before, after, input, effects, now }) => {
        if (effects.some((effect) => effect.do === 'open'))
          expect(after.phase).toMatchObject({ name: 'opening', until: now + OPENING_MS, again: input.type === 'reopen' })
        if (input.type !== 'reopen') return
        if (before.phase.name !== 'open') expect(after).toBe(before)
        else expect(effects).toEqual([{ do: 'drop' }, { do: 'open', transport: before.phase.transport }])
      })
    }),
    { numRuns: 2_000 },
  )
})

test('a connection that is made again and gets no answer ends as any other; a stream that came just now is not held back', () => {
  const again: Input[] = [{ type: 'wake' }, { type: 'token' }]
  const open = steps(...fail(), ...again, ended(), ...again, { type: 'welcome', heartbeatMs: 25_000 })
  expect(open.phase).toMatchObject({ name: 'open', transport: 'sse' })
  const [reopened] = step(open, { type: 'reopen' }, { now: 100, random: 0, heardAt: 0 })
  const [timedOut, effects] = step(reopened, { type: 'tick' }, { now: 100 + OPENING_MS, random: 0, heardAt: 0 })
  expect([timedOut.phase.name, timedOut.code, timedOut.streamHeldBack, effects]).toEqual([
    'waiting',
    'timeout',
    false,
    [{ do: 'drop' }],
  ])
  const forbidden = ended({ outcome: 'retry', code: 'forbidden', answered: true })
  expect(step(reopened, forbidden, { now: 200, random: 0, heardAt: 0 })[0].phase.name).toBe('waiting')
})

test('a pause is never shorter than the floor or what the server asked, and without its word never longer than the cap', () => {
  fc.assert(
    fc.property(anyRun, (run) => {
      play(run, ({ before, after, input, now }) => {
        if (after.phase.name !== 'waiting' || before.phase.name === 'waiting' || input.type === 'goaway') return
        const pause = after.phase.until - now
        const asked = input.type === 'ended' ? (input.retryMs ?? 0) : 0
        expect(pause).toBeGreaterThanOrEqual(Math.max(FLOOR_MS, asked))
        expect(pause).toBeLessThanOrEqual(Math.max(CAP_MS, asked))
      })
    }),
    { numRuns: 2_000 },
  )
})

test('whatever happened, with a server that answers it is open in the end, unless it was stopped or has failed', () => {
  fc.assert(
    fc.property(anyRun, (run) => {
      let [machine, now] = play(run, () => {})
      const { name } = machine.phase
      if (name === 'idle' || name === 'closed' || name === 'failed') return
      machine = step(machine, { type: 'online' }, { now, random: 0.5, heardAt: now })[0]
      for (let i = 0; i < 10 && machine.phase.name !== 'open'; i++) {
        const next = machine.phase.name
        if (next === 'token') machine = step(machine, { type: 'token' }, { now, random: 0.5, heardAt: now })[0]
        else if (next === 'opening')
          machine = step(machine, { type: 'welcome', heartbeatMs: 25_000 }, { now, random: 0.5, heardAt: now })[0]
        else {
          now = Math.max(now, deadline(machine) ?? now)
          machine = step(machine, { type: 'tick' }, { now, random: 0.5, heardAt: now })[0]
        }
      }
      expect(machine.phase.name).toBe('open')
    }),
    { numRuns: 2_000 },
  )
})

test('a tick that is due moves its deadline or the state: no loop', () => {
  fc.assert(
    fc.property(anyRun, fc.boolean(), (run, heard) => {
      const [machine, at] = play(run, () => {})
      const due = deadline(machine)
      if (due === null) return
      const now = Math.max(at, due)
      const [after] = step(machine, { type: 'tick' }, { now, random: 0.5, heardAt: heard ? now : 0 })
      expect(after).not.toBe(machine)
      const next = deadline(after)
      if (next !== null) expect(next).toBeGreaterThan(now)
    }),
    { numRuns: 2_000 },
  )
})

test('what is closed or has failed stays so until somebody connects', () => {
  fc.assert(
    fc.property(anyRun, (run) => {
      play(run, ({ before, after, input, effects }) => {
        if (!['closed', 'failed', 'idle'].includes(before.phase.name) || input.type === 'connect' || input.type === 'stop') return
        expect(after.phase.name).toBe(before.phase.name)
        expect(effects.filter((effect) => effect.do !== 'drop')).toEqual([])
      })
    }),
    { numRuns: 2_000 },
  )
})

test('a token that is refused is asked for once more, then it has failed as unauthorized', () => {
  const refused = ended({ outcome: 'refused', answered: true })
  const once = steps(...fail(refused))
  expect(once.phase.name).toBe('token')
  const twice = steps(...fail(refused), { type: 'token' }, refused)
  expect([twice.phase.name, twice.code]).toEqual(['failed', 'unauthorized'])
  const between = steps(...fail(refused), { type: 'token' }, { type: 'welcome', heartbeatMs: 25_000 }, refused)
  expect(between.phase.name).toBe('token')
})

test('two WebSockets that end before their welcome lead to an event stream, one that brings nothing to polls, and later back', () => {
  const again: Input[] = [{ type: 'wake' }, { type: 'token' }]
  const stream = steps(...fail(), ...again, ended(), ...again)
  expect(stream.phase).toMatchObject({ name: 'opening', transport: 'sse' })
  const silent = steps(...fail(), ...again, ended(), ...again, [{ type: 'tick' }, { now: 20_000 }], ...again)
  expect(silent.phase).toMatchObject({ name: 'opening', transport: 'poll' })
  const open = steps(...fail(), ...again, ended(), ...again, { type: 'welcome', heartbeatMs: 25_000 })
  expect(open.phase).toMatchObject({ name: 'open', transport: 'sse' })
  const [later, effects] = step(open, { type: 'tick' }, { now: FALLBACK_MS + 10, random: 0, heardAt: FALLBACK_MS })
  expect(effects.map((effect) => effect.do)).toEqual(['drop', 'token'])
  expect(step(later, { type: 'token' }, { now: FALLBACK_MS + 20, random: 0, heardAt: 0 })[0].phase).toMatchObject({
    transport: 'websocket',
  })
})

test('a server that says why it refuses is no reason to leave WebSockets', () => {
  const busy = ended({ answered: true, retryMs: 1_000 })
  const again: Input[] = [{ type: 'connect' }, { type: 'token' }]
  expect(steps(...fail(busy), ...again, busy, ...again, busy, ...again).phase).toMatchObject({ transport: 'websocket' })
})

test('failures are forgotten after a connection of 30 s, not before', () => {
  const welcome: Input = { type: 'welcome', heartbeatMs: 25_000 }
  const begin: Input[] = [...fail(), { type: 'wake' }, { type: 'token' }]
  expect(steps(...begin, [welcome, { now: 100 }], [ended(), { now: 100 + STABLE_MS - 1 }]).failures).toBe(2)
  expect(steps(...begin, [welcome, { now: 100 }], [ended(), { now: 100 + STABLE_MS }]).failures).toBe(1)
})

test('silence is asked about, and ends the connection five seconds later', () => {
  const open = steps({ type: 'connect' }, { type: 'token' }, [{ type: 'welcome', heartbeatMs: 10_000 }, { now: 0 }])
  const [asked, effects] = step(open, { type: 'tick' }, { now: 20_000, random: 0, heardAt: 0 })
  expect(effects).toEqual([{ do: 'ping' }])
  expect(step(asked, { type: 'tick' }, { now: 25_000, random: 0, heardAt: 24_000 })[0].phase.name).toBe('open')
  expect(step(asked, { type: 'tick' }, { now: 25_000, random: 0, heardAt: 0 })[0]).toMatchObject({
    code: 'silent',
    phase: { name: 'waiting' },
  })
})

test('a page that wakes asks at once, and does not wait for its turn; what the server asked is kept to', () => {
  const open = steps({ type: 'connect' }, { type: 'token' }, { type: 'welcome', heartbeatMs: 25_000 })
  expect(step(open, { type: 'wake' }, { now: 10, random: 0, heardAt: 5 })[1]).toEqual([{ do: 'ping' }])
  expect(steps(...fail(), { type: 'wake' }).phase.name).toBe('token')
  expect(steps(...fail(ended({ retryMs: 5_000 })), { type: 'wake' }).phase.name).toBe('waiting')
})

test('of the close codes 4401 asks for a token, other 44xx are final but 4408 and 4429, everything else is resumed', () => {
  const outcomes = Object.fromEntries(
    [1000, 1001, 1006, 1009, 1012, 4400, 4401, 4403, 4408, 4410, 4429, 4503, 4508].map((code) => [
      code,
      endOfClose(code, '').outcome,
    ]),
  )
  expect(outcomes).toEqual({
    1000: 'retry',
    1001: 'retry',
    1006: 'retry',
    1009: 'retry',
    1012: 'retry',
    4400: 'final',
    4401: 'refused',
    4403: 'final',
    4408: 'retry',
    4410: 'final',
    4429: 'retry',
    4503: 'retry',
    4508: 'retry',
  })
})
