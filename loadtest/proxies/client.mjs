// How does a client speak to a proxy, and what does it get back?

import http from 'node:http'

import WebSocket from '../interop/node_modules/ws/wrapper.mjs'

import { until, within } from '../interop/checks.mjs'
import { address, stack } from '../interop/stack.mjs'

export const PATIENCE = 15_000

/** A WebSocket that keeps its frames, and why it ended. */
export class Socket {
  frames = []
  closed = null

  constructor(proxy, { query = {}, token = stack.token, headers = {}, protocols = [], path = '/v1/ws', from } = {}) {
    const bearer = token ? { authorization: `Bearer ${token}` } : {}
    this.ws = new WebSocket(address(`ws://${proxy.address}${path}`, query), protocols, {
      headers: { ...bearer, ...headers },
      maxHeaderSize: 65_536,
      ...(from ? { localAddress: from } : {}),
    })
    this.ws.on('open', () => { this.opened = true })
    this.ws.on('message', (data) => this.frames.push(JSON.parse(data)))
    this.ws.on('unexpected-response', (request, answer) => {
      this.closed = { code: answer.statusCode, reason: `HTTP ${answer.statusCode}` }
      request.destroy()
    })
    this.ws.on('close', (code, reason) => { this.closed ??= { code, reason: String(reason) } })
    this.ws.on('error', (error) => { this.error = error })
  }

  /** A socket that was welcomed. */
  static async open(proxy, options) {
    const socket = new Socket(proxy, options)
    socket.hello = await socket.frame('welcome')
    return socket
  }

  async frame(type, wanted = () => true) {
    let found
    await until(PATIENCE, type, () => (found = this.frames.find((frame) => frame.type === type && wanted(frame))) || this.closed)
    if (!found) throw new Error(`${type}: closed with ${this.closed.code} ${this.closed.reason} ${this.error?.message ?? ''}`.trim())
    return found
  }

  event(seq) {
    return this.frame('event', (frame) => frame.seq === seq)
  }

  send(frame) {
    this.ws.send(JSON.stringify(frame))
  }

  leave() {
    this.ws.terminate()
  }
}

/** A request whose body is a form. */
export const posted = (parameters, authorization) => ({
  method: 'POST',
  headers: { ...authorization, 'content-type': 'application/x-www-form-urlencoded' },
  body: `${new URLSearchParams(parameters)}`,
})

/** An event stream that is read as it comes; with a `form` it is asked for with POST. */
export class Stream {
  frames = []
  ended = false

  static async open(proxy, { query = {}, form, path = '/v1/sse', token = stack.token, agent } = {}) {
    const stream = new Stream()
    const authorization = { authorization: `Bearer ${token}` }
    const { method, headers, body } = form ? posted(form, authorization) : { method: 'GET', headers: authorization }
    const request = http.request(address(`http://${proxy.address}${path}`, query), { method, headers, agent: agent ?? false })
    request.end(body)
    stream.request = request
    stream.answer = await within(PATIENCE, 'an answer', new Promise((done, fail) => request.on('response', done).on('error', fail)))
    request.on('error', () => { stream.ended = true })
    if (stream.answer.statusCode !== 200) throw new Error(`HTTP ${stream.answer.statusCode}`)
    let text = ''
    stream.answer.setEncoding('utf8')
    stream.answer.on('data', (more) => {
      const messages = (text += more).split('\n\n')
      text = messages.pop()
      for (const message of messages) {
        const data = /^data: ?(.*)$/m.exec(message)?.[1]
        if (data) stream.frames.push(JSON.parse(data))
      }
    })
    stream.answer.on('close', () => { stream.ended = true }).on('error', () => {})
    return stream
  }

  async frame(type, wanted = () => true, patience = PATIENCE) {
    let found
    await until(patience, `${type} on the event stream`, () => (found = this.frames.find((frame) => frame.type === type && wanted(frame))) || this.ended)
    if (!found) throw new Error(`${type}: the event stream ended`)
    return found
  }

  leave() {
    this.request.destroy()
  }
}

/** One request: status, headers and the whole body. */
export function ask(proxy, path, { method = 'GET', headers = {}, body, from } = {}) {
  return within(90_000, `${method} ${path.slice(0, 40)}`, new Promise((done, fail) => {
    const [host, port] = proxy.address.split(':')
    const request = http.request({ host, port, path, method, headers, agent: false, maxHeaderSize: 65_536, ...(from ? { localAddress: from } : {}) }, (answer) => {
      let text = ''
      answer.setEncoding('utf8')
      answer.on('data', (more) => { text += more })
      answer.on('end', () => done({ status: answer.statusCode, headers: answer.headers, text, json: json(text) }))
      answer.on('error', fail)
    })
    request.on('error', fail)
    request.end(body)
  }))
}

function json(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Publishes one event through the proxy. */
export async function publish(proxy, event, patience = 0) {
  const deadline = Date.now() + patience
  for (;;) {
    const answer = await ask(proxy, '/v1/events', {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ tenant: stack.tenant, type: 'proxied', data: {}, ...event }),
    })
    if (answer.status === 201) return answer.json.seq
    if (Date.now() > deadline) throw new Error(`publish: HTTP ${answer.status} ${answer.text.slice(0, 120)}`)
    await new Promise((again) => setTimeout(again, 200))
  }
}
