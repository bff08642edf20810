// Do clients without a WebSocket (event streams and long polls) miss nothing and get nothing twice?
//
// STREAMS clients read /v1/sse with tokens of LIFE seconds, and come back with Last-Event-ID each time the server ends
// their stream with the token; POLLS clients poll /v1/poll. RATE events a second flow for all TENANTS together, for SECONDS.

import { check } from 'k6'
import exec from 'k6/execution'
import http from 'k6/http'

import * as measures from './carillon/measures.js'
import { reporter, summaryTrendStats } from './carillon/report.js'
import { head } from './carillon/rest.js'
import { begin, publisher, publishers } from './carillon/run.js'
import { Sequence } from './carillon/sequence.js'
import { number, url } from './carillon/settings.js'
import { messages } from './carillon/stream.js'
import { mint } from './carillon/token.js'

const tenants = number('TENANTS', 2, 10)
const streams = number('STREAMS', 30, 300)
const polls = number('POLLS', 30, 300)
const life = number('LIFE', 3, 10)
const rate = number('RATE', 20, 50)
const seconds = number('SECONDS', 12, 120)

const listen = (name, vus) => ({ executor: 'per-vu-iterations', exec: name, vus, iterations: 1, maxDuration: `${seconds + life + 60}s` })

export const options = {
  scenarios: { streams: listen('stream', streams), polls: listen('poll', polls), publishers: publishers(rate, seconds) },
  thresholds: measures.thresholds({
    counts: { carillon_finished: [`count==${streams + polls}`], carillon_comebacks: ['count>0'] }, iterations: rate * seconds,
  }),
  summaryTrendStats,
}

export const setup = () => begin('sse', tenants)

/** What a reader without a socket has in hand. */
class Reader {
  constructor({ tenants: all }, kind) {
    const turn = exec.scenario.iterationInTest
    this.user = `${kind}-${turn}`
    this.tenant = all[turn % all.length]
    this.sequence = null
    this.epoch = null
  }

  get(path, query, headers = {}, lifetime = 60) {
    const token = mint({ sub: this.user, tenant: this.tenant }, lifetime)
    return http.get(`${url}${path}?${query}`, {
      headers: { Authorization: `Bearer ${token}`, ...headers }, tags: { name: path }, timeout: `${lifetime + 60}s`,
    })
  }

  /** Polls from the cursor, without waiting where `wait` is 0; what came is checked. False when refused. */
  poll(wait) {
    const cursor = this.sequence ? `&since=${this.sequence.cursor}&epoch=${this.epoch}` : ''
    const response = this.get('/v1/poll', `wait=${wait}${cursor}`)
    if (!check(response, { 'a poll is answered': ({ status }) => status === 200 })) {
      measures.refused.add(1)
      return false
    }
    const { events, seq, epoch, reset } = response.json()
    if (reset) measures.resets.add(1)
    if (!this.sequence || reset) {
      this.sequence ||= new Sequence(seq)
      this.sequence.reset(seq)
    } else {
      for (const frame of events) measures.read(this.sequence, frame.seq)
      this.sequence.told(seq)
    }
    this.epoch = epoch
    return true
  }

  /** Gets the rest by polling, and adds up what came. */
  async finish() {
    const end = await head(this.tenant)
    const deadline = Date.now() + 10_000
    while (this.sequence.cursor < end && Date.now() < deadline && this.poll(0));
    measures.missing.add(this.sequence.behind(end))
    measures.tally(this.sequence)
  }
}

export async function stream(data) {
  const reader = new Reader(data, 'stream')
  let lastEventId
  while (Date.now() < data.begun + seconds * 1000) {
    const response = reader.get('/v1/sse', '', lastEventId ? { 'Last-Event-ID': lastEventId } : {}, life)
    if (!check(response, {
      'an event stream is an event stream': ({ status, headers }) => status === 200 && headers['Content-Type'].startsWith('text/event-stream'),
    })) {
      measures.refused.add(1)
      return
    }
    const said = messages(response.body)
    check(said, {
      'a stream begins with its welcome': ([first]) => first.frame.type === 'welcome',
      'a stream ends with its token': (all) => all[all.length - 1].frame.code === 'unauthenticated',
    })
    for (const { id, frame } of said) {
      if (id) lastEventId = id
      if (frame.type === 'welcome') {
        if (reader.sequence) {
          measures.comebacks.add(1)
          check(frame, { 'a cursor is resumed from where it is': ({ seq }) => seq === reader.sequence.cursor })
        }
        reader.sequence ||= new Sequence(frame.seq)
        reader.epoch = frame.epoch
      } else if (frame.type === 'event') {
        measures.read(reader.sequence, frame.seq)
      } else if (frame.type === 'heartbeat') {
        reader.sequence.told(frame.seq)
      } else if (frame.type === 'reset') {
        measures.resets.add(1)
        reader.sequence.reset(frame.seq)
      }
    }
    const cursor = reader.sequence.cursor
    check(lastEventId, { 'the last id is the cursor': (last) => last === `${reader.epoch}:${cursor}` })
  }
  await reader.finish()
}

export async function poll(data) {
  const reader = new Reader(data, 'poll')
  while (Date.now() < data.begun + seconds * 1000) {
    if (!reader.poll(reader.sequence ? 5 : 0)) return
  }
  await reader.finish()
}

export { publisher }
export const handleSummary = reporter('sse')
