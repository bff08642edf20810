// What does the environment say: where the stack is, and how much load it gets?
//
// FULL=1 takes the long form of every number; a variable of the number's name outweighs both.

function required(name) {
  const value = __ENV[name]
  if (!value) throw new Error(`${name} is not set`)
  return value
}

/** The balancer that serves everything, without a slash at the end. */
export const url = required('CARILLON_URL').replace(/\/+$/, '')
/** Where WebSockets connect. */
export const socketUrl = __ENV.CARILLON_SOCKET_URL || `${url.replace(/^http/, 'ws')}/v1/ws`
/** The shared secret that signs user tokens (HS256). */
export const secret = required('CARILLON_JWT_SECRET')
/** The long form. */
export const full = __ENV.FULL === '1'
/** Nodes leave during this run: connections that a node sends away come back and do not count as broken. */
export const rolling = __ENV.ROLLING === '1'
/** Times and the load that k6 could make have thresholds, too: on a machine that has cores to spare for k6. */
export const timed = __ENV.TIMES === '1'
/** Folder of the reports; it has to exist. */
export const out = __ENV.OUT || 'target/loadtest'

const twins = ['', 'elsewhere', 'repeat']
/**
 * A fault of our own making, which proves that a threshold sees such a fault. `elsewhere`: every fifth event of a
 * publisher goes to a channel nobody is in, so that its number is a hole for every reader. `repeat`: every fifth event of a
 * reader is read twice.
 */
export const twin = __ENV.TWIN || ''
if (!twins.includes(twin)) throw new Error(`TWIN is "${twin}"; allowed: ${twins.slice(1).join(', ')}`)

/** Everything that was settled, for the report. */
export const settled = { FULL: full ? 1 : 0 }
if (rolling) settled.ROLLING = 1
if (timed) settled.TIMES = 1
if (twin) settled.TWIN = twin

/** A number above zero by its name, else its default in the short or the long form. */
export function number(name, short, long) {
  const text = __ENV[name]
  const value = text === undefined ? (full ? long : short) : Number(text)
  if (!(value > 0)) throw new Error(`${name} is "${text}", not a number above 0`)
  settled[name] = value
  return value
}
