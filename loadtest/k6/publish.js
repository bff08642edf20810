// How quickly is an event acknowledged, alone, in batches, again, and wrong, and are the numbers given out without a hole?
//
// SINGLE, BATCHES (of SIZE events), REPEATS and WRONG are requests a second, for SECONDS. Every VU writes to a tenant of
// its own, so the numbers it is given have to ascend one by one, and the log has to end where its receipts do.

import { check } from 'k6'
import exec from 'k6/execution'
import http from 'k6/http'

import * as measures from './carillon/measures.js'
import { reporter, summaryTrendStats } from './carillon/report.js'
import { event, head, post } from './carillon/rest.js'
import { begin } from './carillon/run.js'
import { Sequence } from './carillon/sequence.js'
import { number, twin } from './carillon/settings.js'
import { range } from './carillon/time.js'

const single = number('SINGLE', 80, 400)
const batches = number('BATCHES', 5, 20)
const size = number('SIZE', 50, 100)
const repeats = number('REPEATS', 10, 40)
const wrong = number('WRONG', 5, 10)
const seconds = number('SECONDS', 10, 120)

const scenario = (name, rate) => ({
  executor: 'constant-arrival-rate', exec: name, rate, timeUnit: '1s', duration: `${seconds}s`,
  preAllocatedVUs: Math.max(10, Math.ceil(rate / 2)), maxVUs: rate * 2 + 20, gracefulStop: '10s',
})

export const options = {
  scenarios: {
    single: scenario('one', single), batches: scenario('batch', batches), repeats: scenario('again', repeats), wrong: scenario('mistake', wrong),
  },
  thresholds: measures.thresholds({
    counts: { http_req_failed: ['rate<0.01'] },
    times: { carillon_acknowledge: ['p(95)<250'], carillon_acknowledge_batch: ['p(95)<500'] },
    iterations: (single + batches + repeats + wrong) * seconds,
  }),
  summaryTrendStats,
}

/** The numbers this VU was given. */
const given = new Sequence(0)
/** How many of them are in the measures. */
const added = { events: 0, gaps: 0, repeats: 0 }
let answers = 0

export const setup = () => begin('publish', 1)
const mine = ({ tenants: [base] }) => `${base}-${exec.vu.idInTest}`

function take(receipts) {
  measures.acknowledged.add(receipts.length)
  // The twin of a number that was never given out.
  answers += 1
  const known = twin === 'elsewhere' && answers % 5 === 0 ? receipts.slice(1) : receipts
  for (const { seq } of known) measures.read(given, seq)
  measures.events.add(given.events - added.events)
  measures.gaps.add(given.gaps - added.gaps)
  measures.repeats.add(given.repeats - added.repeats)
  Object.assign(added, { events: given.events, gaps: given.gaps, repeats: given.repeats })
}

/** Now and then: does the log end with our last receipt? */
async function compare(tenant) {
  if (exec.vu.iterationInScenario % 20 !== 0) return
  measures.missing.add(Math.abs(await head(tenant) - given.cursor))
}

const created = ({ status }) => status === 201

export async function one(data) {
  const tenant = mine(data)
  const response = post(tenant, event(), 'one event')
  if (check(response, { 'an event is acknowledged': created })) {
    measures.acknowledging.add(response.timings.duration)
    take([response.json()])
  }
  await compare(tenant)
}

export async function batch(data) {
  const tenant = mine(data)
  const response = post(tenant, range(size).map(() => event()), 'a batch')
  if (check(response, { 'a batch is acknowledged': created })) {
    measures.acknowledgingBatch.add(response.timings.duration)
    const receipts = response.json()
    check(receipts, { 'a batch has a receipt for each event': (all) => all.length === size })
    take(receipts)
  }
  await compare(tenant)
}

/** The same request twice, as after a lost answer: one event, one receipt. */
export async function again(data) {
  const tenant = mine(data)
  const body = event()
  const params = { headers: { 'Idempotency-Key': `${tenant}-${exec.vu.iterationInScenario}` } }
  const first = post(tenant, body, 'one event', params)
  const second = post(tenant, body, 'the same again', params)
  if (!check(first, { 'an event is acknowledged': created })) return
  take([first.json()])
  check(second, {
    'the same request again has the same receipt': (response) => created(response) && response.body === first.body,
    'a receipt says that it is not the first': ({ headers }) => headers['Idempotency-Replayed'] === 'true',
  })
  await compare(tenant)
}

/** An event without a target: refused by name, and nothing stored. */
export function mistake(data) {
  const tenant = mine(data)
  const response = post(tenant, { type: 'appointment.created', data: {} }, 'a mistake', { responseCallback: http.expectedStatuses(422) })
  check(response, {
    'an event without a target is refused': ({ status }) => status === 422,
    'the refusal says what is missing': (refusal) => refusal.json('errors.0.code') === 'target_required',
  })
}

export const handleSummary = reporter('publish')
