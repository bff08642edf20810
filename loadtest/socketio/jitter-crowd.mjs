// How do some thousand clients lose their line again and again, and what has each of them got? A child of jitter.mjs.

import { createHmac } from 'node:crypto'
import { createRequire } from 'node:module'

const { io } = createRequire(new URL('./node/package.json', import.meta.url))('socket.io-client-4.8')

const { gateways, secret, first, clients } = JSON.parse(process.argv[2])
/** How often a line breaks, and for how long. */
const EVERY_MS = 15_000
const AWAY_MS = 2_000
/** New clients a second. */
const RAMP = 200

const state = { connected: 0, got: 0, twice: 0, disordered: 0, breaks: 0, back: 0, recovered: 0, complete: 0, refused: 0, last_refusal: '' }
let rest = Infinity
let breaking = false
const crowd = []

const [head, body] = process.env.CARILLON_TOKEN.split('.')
const claims = JSON.parse(Buffer.from(body, 'base64url'))
function token(user) {
  const now = Math.floor(Date.now() / 1000)
  const text = `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: user, iat: now, exp: now + 3600 })).toString('base64url')}`
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`
}

function client(number) {
  const it = { seen: new Set(), next: 0, at: number % gateways.length, was: false, broken: false, complete: false }
  const socket = io(gateways[it.at], {
    transports: ['websocket'], forceNew: true, reconnectionDelay: AWAY_MS, reconnectionDelayMax: AWAY_MS, randomizationFactor: 0, timeout: 60_000,
    auth: { token: token(`person-${first + number}`), channels: ['jitter:1'], recovery: true },
  })
  it.socket = socket
  socket.on('connect', () => {
    if (!it.was) state.connected += 1
    else {
      state.back += 1
      if (socket.recovered) state.recovered += 1
    }
    it.was = true
    it.broken = false
  })
  socket.on('connect_error', (error) => {
    state.refused += 1
    state.last_refusal = `${error.message} ${error.data?.code ?? ''} ${error.description?.message ?? ''}`
  })
  socket.on('tick', ({ n }) => {
    state.got += 1
    if (it.seen.has(n)) state.twice += 1
    else if (n !== it.next) state.disordered += 1
    it.seen.add(n)
    it.next = n + 1
    complete(it)
  })
  return it
}

function complete(it) {
  if (it.complete || it.seen.size < rest || it.broken) return
  it.complete = true
  state.complete += 1
}

/** Each breaks at its own moment of the fifteen seconds. */
function breakLine(it) {
  if (!breaking) return
  setTimeout(() => breakLine(it), EVERY_MS)
  const line = it.socket.io.engine?.transport?.ws
  if (!it.socket.connected || it.broken || !line) return
  it.broken = true
  state.breaks += 1
  // It comes back to another node.
  it.at = (it.at + 1) % gateways.length
  it.socket.io.uri = gateways[it.at]
  // As a network that is gone: no close frame, and what was on the way is lost.
  line.terminate()
}

process.on('message', ({ begin, rest: wanted }) => {
  if (begin) {
    breaking = true
    crowd.forEach((it, at) => setTimeout(() => breakLine(it), Math.floor((EVERY_MS * at) / crowd.length)))
  }
  if (wanted) {
    breaking = false
    rest = wanted
    setInterval(() => crowd.forEach(complete), 200)
  }
})
setInterval(() => process.send(state), 100)
const ramp = setInterval(() => {
  for (let n = 0; n < RAMP / 20 && crowd.length < clients; n += 1) crowd.push(client(crowd.length))
  if (crowd.length === clients) clearInterval(ramp)
}, 50)
