// How quickly is a client welcomed and subscribed, however its token travels, while events flow?
//
// RATE connections a second, each for about HOLD milliseconds: welcome, a refused and a granted `subscribe`, history,
// live events, good-bye. EVENTS a second flow for all TENANTS together, for SECONDS.

import { check } from 'k6'
import exec from 'k6/execution'

import { thresholds } from './carillon/measures.js'
import { reporter, summaryTrendStats } from './carillon/report.js'
import { begin, publisher, publishers } from './carillon/run.js'
import { publish } from './carillon/rest.js'
import { number } from './carillon/settings.js'
import { Listener, places } from './carillon/socket.js'
import { around, range, sleep } from './carillon/time.js'

const tenants = number('TENANTS', 2, 10)
const rate = number('RATE', 30, 200)
const hold = number('HOLD', 1000, 2000)
const perSecond = number('EVENTS', 10, 20)
const seconds = number('SECONDS', 10, 120)

/** Events in every tenant before anybody connects, so that there is history. */
const PAST = 5

export const options = {
  scenarios: {
    visitors: {
      executor: 'constant-arrival-rate', exec: 'visitor', rate, timeUnit: '1s', duration: `${seconds}s`,
      preAllocatedVUs: Math.ceil(rate * (hold / 1000 + 0.5)), maxVUs: Math.ceil(rate * 10), gracefulStop: '30s',
    },
    publishers: publishers(perSecond, seconds),
  },
  thresholds: thresholds({
    counts: { carillon_finished: ['count>0'] },
    times: { carillon_welcome: ['p(95)<250'], carillon_subscribe: ['p(95)<250'] },
    iterations: (rate + perSecond) * seconds,
  }),
  summaryTrendStats,
}

export function setup() {
  const data = begin('connect', tenants)
  for (const tenant of data.tenants) range(PAST).forEach(() => publish(tenant, { channels: ['contact:123'] }))
  return data
}

const ascends = (seqs) => seqs.every((seq, index) => index === 0 || seq > seqs[index - 1])

export async function visitor(data) {
  const turn = exec.scenario.iterationInTest
  const place = places[turn % places.length]
  const listener = new Listener({
    tenant: data.tenants[turn % tenants], user: `visitor-${turn}`, claims: { roles: ['reception'], channels: ['contact:*'] },
  })
  if (!await listener.enter(0, place)) return
  const { channels, resumed } = listener.welcome
  check(listener.welcome, {
    'the welcome names one\'s own channels': () => ['tenant', `user:visitor-${turn}`, 'role:reception'].every((one) => channels.includes(one)),
    'who brings no cursor begins at the head': () => resumed === 'live',
  })
  check(await listener.request('subscribe', { channels: ['campaign:7'] }), {
    'a channel the token does not allow is refused': (answer) => answer?.code === 'forbidden' && answer.channels[0] === 'campaign:7',
  })
  check(await listener.request('subscribe', { channels: ['contact:123'], history: PAST }), {
    'a channel the token allows is joined': (answer) => answer?.type === 'ok' && answer.channels[0] === 'contact:123',
    'history is what was asked for, ascending': (answer) => answer?.past?.length === PAST && answer.replayed.count === PAST && ascends(answer.past),
  })
  await sleep(around(hold))
  check(await listener.request('ping', { data: turn }), {
    'a ping is answered with its data': (answer) => answer?.type === 'pong' && answer.data === turn,
  })
  await listener.finish()
}

export { publisher }
export const handleSummary = reporter('connect')
