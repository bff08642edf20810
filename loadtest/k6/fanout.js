// Does every listener get every event, once and in order, and how soon?
//
// TENANTS, VUS and SOCKETS (for each VU) say who listens, RATE how many events a second all tenants get together,
// SECONDS for how long; RAMP is the time over which the listeners connect.

import exec from 'k6/execution'

import { thresholds } from './carillon/measures.js'
import { reporter, summaryTrendStats } from './carillon/report.js'
import { begin, publisher, publishers } from './carillon/run.js'
import { number } from './carillon/settings.js'
import { Listener } from './carillon/socket.js'
import { range, sleep, until } from './carillon/time.js'

const tenants = number('TENANTS', 2, 10)
const vus = number('VUS', 20, 100)
const sockets = number('SOCKETS', 10, 20)
const rate = number('RATE', 20, 60)
const seconds = number('SECONDS', 10, 120)
const ramp = number('RAMP', 3, 15)

export const options = {
  scenarios: {
    listeners: { executor: 'per-vu-iterations', exec: 'listeners', vus, iterations: 1, maxDuration: `${ramp + seconds + 60}s` },
    publishers: publishers(rate, seconds, ramp),
  },
  thresholds: thresholds({
    counts: { carillon_finished: [`count==${vus * sockets}`] }, times: { carillon_delivery: ['p(95)<500'] }, iterations: rate * seconds,
  }),
  summaryTrendStats,
}

export const setup = () => begin('fanout', tenants)

export async function listeners(data) {
  const first = (exec.scenario.iterationInTest) * sockets
  await Promise.all(range(sockets).map(async (index) => {
    const listener = new Listener({ tenant: data.tenants[(first + index) % tenants], user: `listener-${first + index}` })
    await sleep(Math.random() * ramp * 900)
    if (!await listener.enter()) return
    await until(data.begun + (ramp + seconds) * 1000)
    await listener.finish()
  }))
}

export { publisher }
export const handleSummary = reporter('fanout')
