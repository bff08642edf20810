// How does one user listen over a WebSocket, leave, and come back with the cursor?

import { clearTimeout, setTimeout } from 'k6/timers'
import { WebSocket } from 'k6/websockets'

import * as measures from './measures.js'
import { head } from './rest.js'
import { Sequence } from './sequence.js'
import { rolling, socketUrl, twin } from './settings.js'
import { around, sleep } from './time.js'
import { mint } from './token.js'

/** Longest wait for a `welcome` or an answer. */
const PATIENCE_MS = 10_000
/** Longest wait for what the log already has. */
const CATCH_UP_MS = 10_000

/** Whether a client comes back by itself after this close code (docs/PROTOCOL.md, 3.5). */
const resumable = (code) => code !== 1000 && (code < 4400 || code > 4499 || code === 4408 || code === 4429)

/**
 * Where the token travels. With the first frame the server says nothing before we did, and nothing can get lost in k6: it
 * drops messages that it reads before it has told the script that the socket is open, which happens on a busy machine
 * (1.8 and 2.2). In the other three places that can be the `welcome` and what follows at once.
 */
export const places = ['header', 'subprotocol', 'query', 'frame']

/** k6 dropped the beginning of what the server said. */
class Unheard extends Error {}

/** A user on a WebSocket, who is in channels that get every event of the tenant. */
export class Listener {
  constructor({ tenant, user, claims = {}, channels = [] }) {
    this.tenant = tenant
    this.token = mint({ sub: user, tenant, ...claims })
    this.channels = channels
    /** What came; none before the first `welcome`. */
    this.sequence = null
    /** Tries that had to be repeated. */
    this.retries = 0
    this.epoch = null
    this.socket = null
    this.begun = 0
    this.returning = false
    this.requests = new Map()
    this.lastId = 0
  }

  /** Connects and waits for the `welcome`, again and again while there is patience; false when that was in vain. */
  async enter(patience = 0, place = 'frame') {
    const deadline = Date.now() + patience
    for (;;) {
      try {
        await this.connect(place)
        return true
      } catch (error) {
        if (error instanceof Unheard) {
          measures.unheard.add(1)
          continue
        }
        const pause = around(200)
        if (Date.now() + pause > deadline) {
          measures.refused.add(1)
          console.error(`${this.tenant}: not welcomed: ${error.message}`)
          return false
        }
        this.retries += 1
        await sleep(pause)
      }
    }
  }

  /** One try. */
  connect(place) {
    const query = [`tenant=${this.tenant}`]
    if (this.channels.length) query.push(`channels=${encodeURIComponent(this.channels.join(','))}`)
    if (this.sequence) query.push(`since=${this.sequence.cursor}`, `epoch=${this.epoch}`)
    if (place === 'query') query.push(`token=${this.token}`)
    const protocols = place === 'subprotocol' ? ['carillon.v1', `bearer.${this.token}`] : null
    const headers = place === 'header' ? { Authorization: `Bearer ${this.token}` } : {}
    this.begun = Date.now()
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(`${socketUrl}?${query.join('&')}`, protocols, { headers, tags: { name: '/v1/ws' } })
      this.socket = socket
      let welcomed = false
      const late = setTimeout(() => {
        this.socket = null
        // Closing a socket whose handshake is under way leaves some releases of k6 waiting for ever.
        if (socket.readyState === 1) socket.close()
        reject(new Error(`no welcome within ${PATIENCE_MS} ms`))
      }, PATIENCE_MS)
      socket.onopen = () => {
        // An answer that comes before the welcome says that the welcome was dropped.
        socket.send(JSON.stringify(place === 'frame' ? { type: 'auth', token: this.token } : { type: 'ping', id: 0 }))
      }
      socket.onmessage = (message) => {
        const frame = JSON.parse(message.data)
        // What a connection that was given up still says is nobody's business: the next one brings it.
        if (this.socket !== socket) return
        if (!welcomed && frame.type !== 'welcome') {
          clearTimeout(late)
          this.leave()
          reject(place === 'frame' ? new Error(`a ${frame.type} instead of a welcome: ${frame.code}`) : new Unheard())
          return
        }
        if (frame.type === 'welcome') {
          welcomed = true
          clearTimeout(late)
          this.welcome = frame
          resolve(frame)
        }
        this.take(frame, message.timestamp)
      }
      socket.onerror = (event) => {
        clearTimeout(late)
        if (!welcomed) reject(new Error(event.error))
      }
      socket.onclose = (event) => {
        clearTimeout(late)
        if (!welcomed) reject(new Error(`closed with ${event.code} ${event.reason}`))
        else if (this.socket === socket) this.sentAway(event.code)
      }
    })
  }

  /** A frame came, at a time. */
  take(frame, at) {
    switch (frame.type) {
      case 'welcome':
        measures.welcome.add(at - this.begun)
        this.returning = this.sequence !== null
        if (this.returning) measures.comebacks.add(1)
        else this.sequence = new Sequence(frame.seq)
        this.epoch = frame.epoch
        break
      case 'event':
        if ('replay' in frame) this.requests.get(frame.replay)?.past.push(frame.seq)
        else this.read(frame, at)
        break
      case 'heartbeat':
        this.sequence.told(frame.seq)
        break
      case 'reset':
        measures.resets.add(1)
        this.sequence.reset(frame.seq)
        this.epoch = frame.epoch
        break
      case 'goaway':
        this.goAway(frame.reconnect_ms)
        break
      case 'ok':
      case 'error':
      case 'pong':
      case 'replayed':
        this.requests.get(frame.id)?.answer(frame)
        break
    }
  }

  read(frame, at) {
    const { cursor, gaps, repeats } = this.sequence
    measures.read(this.sequence, frame.seq)
    // Under a twin there are too many to tell.
    if ((this.sequence.gaps > gaps || this.sequence.repeats > repeats) && !twin) {
      const { connection, resumed, seq } = this.welcome || {}
      console.error(`${this.tenant}: ${frame.seq} after ${cursor} on ${connection}, welcomed ${resumed} at ${seq} ${at - this.begun} ms after it began`)
    }
    const { stamp } = frame.event.data
    // What was published before this connection was asked for is history to it, however quickly it came.
    if (stamp < this.begun) return
    measures.delivery.add(at - stamp)
    if (this.returning) {
      this.returning = false
      measures.liveAgain.add(at - this.begun)
    }
  }

  /** Sends a frame and waits for its answer; none in time is undefined. With `history` the answer has `past` and `replayed`. */
  request(type, fields) {
    this.lastId += 1
    const id = this.lastId
    const begun = Date.now()
    return new Promise((resolve) => {
      const request = { past: [] }
      const late = setTimeout(() => request.done(undefined), PATIENCE_MS)
      request.done = (result) => {
        clearTimeout(late)
        this.requests.delete(id)
        resolve(result)
      }
      request.answer = (frame) => {
        if (frame.type === 'replayed') return request.done({ ...request.ok, past: request.past, replayed: frame })
        if (type === 'subscribe' && frame.type === 'ok') measures.subscribing.add(Date.now() - begun)
        request.ok = frame
        if (frame.type === 'error' || fields.history === undefined) request.done(frame)
      }
      this.requests.set(id, request)
      this.socket.send(JSON.stringify({ type, id, ...fields }))
    })
  }

  /** The server closed. */
  sentAway(code) {
    this.socket = null
    measures.broken.add(1)
    if (!rolling) console.error(`${this.tenant}: closed with ${code}`)
    if (resumable(code)) this.enter(30_000)
  }

  /** The node asked us to leave. */
  async goAway(delay) {
    this.leave()
    await sleep(delay)
    await this.enter(30_000)
  }

  /** Closes the connection, without waiting for the answer. */
  leave() {
    const socket = this.socket
    this.socket = null
    if (socket) socket.close(1000)
  }

  /** Waits for everything the log has, leaves, and adds up what came. */
  async finish() {
    if (!this.sequence) return
    const end = await head(this.tenant)
    const deadline = Date.now() + CATCH_UP_MS
    while (this.sequence.cursor < end && Date.now() < deadline) await sleep(20)
    measures.missing.add(this.sequence.behind(end))
    this.leave()
    measures.tally(this.sequence)
  }
}
