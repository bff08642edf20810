// What is counted and timed, and which results fail a run?

import { Counter, Trend } from 'k6/metrics'

import { rolling, timed, twin } from './settings.js'

/** Events that readers got, live or resumed. */
export const events = new Counter('carillon_events')
/** Numbers that readers jumped over. */
export const gaps = new Counter('carillon_gaps')
/** Events that came twice or out of order. */
export const repeats = new Counter('carillon_repeats')
/** Events that a reader had not got at its end although the log had them, after waiting for them. */
export const missing = new Counter('carillon_missing')
/** Times a reader was told that continuity is lost. */
export const resets = new Counter('carillon_resets')
/** Connections that were not welcomed. */
export const refused = new Counter('carillon_refused')
/** Connections of which k6 dropped the beginning; they were made again. No fault of the server. */
export const unheard = new Counter('carillon_unheard')
/** Connections that ended although the client wanted to stay. */
export const broken = new Counter('carillon_broken')
/** Connections that came back with their cursor. */
export const comebacks = new Counter('carillon_comebacks')
/** Readers that were there until the end, and what they saw was added up. */
export const finished = new Counter('carillon_finished')
/** Events that a publisher has a receipt for. */
export const acknowledged = new Counter('carillon_acknowledged')

/** Requests to publish that were not answered, or with 503, and repeated. */
export const repeated = new Counter('carillon_repeated')

/** From the connection's first byte to its `welcome`. */
export const welcome = new Trend('carillon_welcome', true)
/** From the publisher's request to the event on a socket. One process has both clocks. */
export const delivery = new Trend('carillon_delivery', true)
/** From a comeback's first byte to the first event that was published after it. */
export const liveAgain = new Trend('carillon_live_again', true)
/** From a request with one event to its receipt. */
export const acknowledging = new Trend('carillon_acknowledge', true)
/** From a request with many events to their receipts. */
export const acknowledgingBatch = new Trend('carillon_acknowledge_batch', true)
/** From a `subscribe` to its `ok`. */
export const subscribing = new Trend('carillon_subscribe', true)

/**
 * The thresholds of every script, and `counts`; with TIMES=1 also `times`, and that nine of ten iterations that were to
 * begin (`iterations`) did. k6 ends with exit code 99 when one is crossed.
 */
export function thresholds({ counts = {}, times, iterations }) {
  const always = {
    carillon_events: ['count>0'],
    carillon_acknowledged: ['count>0'],
    carillon_gaps: ['count==0'],
    carillon_repeats: ['count==0'],
    carillon_missing: ['count==0'],
    carillon_resets: ['count==0'],
    carillon_refused: ['count==0'],
    checks: ['rate==1'],
  }
  if (!rolling) always.carillon_broken = ['count==0']
  const busy = timed ? { ...times, dropped_iterations: [`count<=${Math.floor(iterations / 10)}`] } : {}
  return { ...always, ...counts, ...busy }
}

/** Hands an event's number to its reader. */
export function read(sequence, seq) {
  sequence.take(seq)
  if (twin === 'repeat' && sequence.events % 5 === 0) sequence.take(seq)
}

/** Adds what a reader found at its end. */
export function tally(sequence) {
  finished.add(1)
  events.add(sequence.events)
  gaps.add(sequence.gaps)
  repeats.add(sequence.repeats)
}
