// Do clients that leave and return again and again miss nothing and get nothing twice, and how soon are they live again?
//
// Each of VUS × SOCKETS clients stays for about STAY milliseconds, is away for about AWAY, and returns with its cursor,
// while RATE events a second flow for all TENANTS together, for SECONDS.

import { check } from 'k6'
import exec from 'k6/execution'

import { thresholds } from './carillon/measures.js'
import { reporter, summaryTrendStats } from './carillon/report.js'
import { begin, publisher, publishers } from './carillon/run.js'
import { number } from './carillon/settings.js'
import { Listener } from './carillon/socket.js'
import { around, range, sleep } from './carillon/time.js'

const tenants = number('TENANTS', 2, 10)
const vus = number('VUS', 10, 100)
const sockets = number('SOCKETS', 10, 20)
const stay = number('STAY', 1500, 8000)
const away = number('AWAY', 500, 3000)
const rate = number('RATE', 40, 100)
const seconds = number('SECONDS', 12, 180)

export const options = {
  scenarios: {
    clients: { executor: 'per-vu-iterations', exec: 'clients', vus, iterations: 1, maxDuration: `${seconds + 90}s` },
    publishers: publishers(rate, seconds),
  },
  thresholds: thresholds({
    counts: { carillon_comebacks: ['count>0'], carillon_finished: [`count==${vus * sockets}`] },
    times: { carillon_live_again: ['p(95)<1000'] },
    iterations: rate * seconds,
  }),
  summaryTrendStats,
}

export const setup = () => begin('resume', tenants)

export async function clients(data) {
  const first = exec.scenario.iterationInTest * sockets
  const end = data.begun + seconds * 1000
  await Promise.all(range(sockets).map(async (index) => {
    const listener = new Listener({ tenant: data.tenants[(first + index) % tenants], user: `commuter-${first + index}` })
    await sleep(Math.random() * stay)
    if (!await listener.enter()) return
    while (Date.now() < end) {
      await sleep(around(stay))
      listener.leave()
      await sleep(around(away))
      const cursor = listener.sequence.cursor
      if (!await listener.enter()) return
      check(listener.welcome, {
        'a cursor is resumed from where it is': ({ resumed, seq }) => (resumed === 'replay' || resumed === 'live') && seq === cursor,
      })
    }
    await listener.finish()
  }))
}

export { publisher }
export const handleSummary = reporter('resume')
