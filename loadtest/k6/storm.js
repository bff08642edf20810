// When everybody is cut off and comes back at the same moment: does everybody get in, and how soon is everybody live?
//
// VUS × SOCKETS clients leave at the same time and return at once, WAVES times, EVERY milliseconds, while RATE events a
// second flow for all TENANTS together. A client that is refused tries again; after PATIENCE milliseconds it counts as refused.

import { check } from 'k6'
import exec from 'k6/execution'
import { Counter, Trend } from 'k6/metrics'

import { thresholds } from './carillon/measures.js'
import { reporter, summaryTrendStats } from './carillon/report.js'
import { begin, publisher, publishers } from './carillon/run.js'
import { number } from './carillon/settings.js'
import { Listener } from './carillon/socket.js'
import { range, sleep, until } from './carillon/time.js'

const tenants = number('TENANTS', 2, 10)
const vus = number('VUS', 20, 150)
const sockets = number('SOCKETS', 15, 20)
const waves = number('WAVES', 2, 8)
const every = number('EVERY', 4000, 12000)
const patience = number('PATIENCE', 15000, 30000)
const rate = number('RATE', 20, 50)
const ramp = number('RAMP', 3, 20)
const seconds = Math.ceil(ramp + (waves * every) / 1000)

/** From the moment of the cut until a client was welcomed again, its further tries included. */
const back = new Trend('carillon_back', true)
/** Tries that were refused and repeated. */
const retries = new Counter('carillon_retries')

export const options = {
  scenarios: {
    crowd: { executor: 'per-vu-iterations', exec: 'crowd', vus, iterations: 1, maxDuration: `${seconds + 90}s` },
    publishers: publishers(rate, seconds),
  },
  thresholds: thresholds({
    counts: { carillon_comebacks: [`count==${vus * sockets * waves}`], carillon_finished: [`count==${vus * sockets}`] },
    times: { carillon_back: ['p(95)<3000'] },
    iterations: rate * seconds,
  }),
  summaryTrendStats,
}

export const setup = () => begin('storm', tenants)

export async function crowd(data) {
  const first = exec.scenario.iterationInTest * sockets
  await Promise.all(range(sockets).map(async (index) => {
    const listener = new Listener({ tenant: data.tenants[(first + index) % tenants], user: `crowd-${first + index}` })
    await sleep(Math.random() * ramp * 900)
    if (!await listener.enter()) return
    for (const wave of range(waves)) {
      await until(data.begun + ramp * 1000 + wave * every)
      const cut = Date.now()
      listener.leave()
      if (!await listener.enter(patience)) break
      back.add(Date.now() - cut)
      check(listener.welcome, { 'nobody has to begin anew': ({ resumed }) => resumed !== 'reset' })
    }
    retries.add(listener.retries)
    await until(data.begun + seconds * 1000)
    await listener.finish()
  }))
}

export { publisher }
export const handleSummary = reporter('storm')
