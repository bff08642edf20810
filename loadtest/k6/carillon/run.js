// What do the phases of a script have in common: its tenants, its beginning, its publishers?

import exec from 'k6/execution'

import { publish } from './rest.js'
import { range } from './time.js'

/** Tenants that nobody else writes to, and when the run began (milliseconds since 1970). */
export function begin(script, tenants) {
  const run = Date.now().toString(36)
  return { begun: Date.now(), tenants: range(tenants).map((index) => `k6-${script}-${run}-${index}`) }
}

/** A scenario that publishes `rate` events a second for some seconds, after `wait` of them. */
export function publishers(rate, seconds, wait = 0) {
  return {
    executor: 'constant-arrival-rate', exec: 'publisher', rate, timeUnit: '1s', startTime: `${wait}s`, duration: `${seconds}s`,
    preAllocatedVUs: Math.min(50, Math.max(10, Math.ceil(rate / 2))), maxVUs: 100, gracefulStop: '10s',
  }
}

/** One event, for the tenants in turn. */
export function publisher({ tenants }) {
  publish(tenants[exec.scenario.iterationInTest % tenants.length])
}
