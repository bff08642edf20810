// How do requests reach several gateways? Each goes to the next one that answers, but those of a session that polls to the one that began it.

import { Agent, createServer, request as ask } from 'node:http'
import { connect } from 'node:net'

export class Balancer {
  /** Ports of gateways, in turn. */
  targets = []
  /** Where each socket that was upgraded leads, by the client's socket. */
  upgraded = new Map()
  /** Which gateway began each session that polls. */
  #sessions = new Map()
  #turn = 0
  #server = createServer((request, response) => this.#pass(request, response, this.targets.length))
  #agent = new Agent({ keepAlive: false })

  async start() {
    this.#server.keepAliveTimeout = 60_000
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head, this.targets.length))
    await new Promise((done) => this.#server.listen(0, '127.0.0.1', done))
    this.url = `http://127.0.0.1:${this.#server.address().port}`
    return this
  }

  stop() {
    this.#server.close()
    this.#server.closeAllConnections()
    for (const socket of this.upgraded.keys()) socket.destroy()
  }

  /** The gateway for a request; one that is gone has no sessions any more. */
  #next(path) {
    const kept = this.#sessions.get(new URL(path, this.url).searchParams.get('sid'))
    const port = this.targets.includes(kept) ? kept : this.targets[this.#turn++ % this.targets.length]
    return port
  }

  /** The first answer of a session names it. */
  #begun(path, port, bytes) {
    const [, sid] = path.includes('sid=') ? [] : /"sid":"([^"]+)"/.exec(bytes) ?? []
    if (sid) this.#sessions.set(sid, port)
  }

  #pass(request, response, tries) {
    if (!tries) return response.writeHead(503).end()
    const chunks = request.body ?? []
    const send = () => {
      request.body = chunks
      const { method, url: path, headers } = request
      const port = this.#next(path)
      const passed = ask({ host: '127.0.0.1', port, method, path, headers, agent: this.#agent }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers)
        answer.on('data', (bytes) => this.#begun(path, port, bytes))
        answer.pipe(response)
        // The gateway went away in the middle of its answer.
        answer.on('error', () => response.destroy())
      })
      passed.on('error', () => (response.headersSent ? response.destroy() : this.#pass(request, response, tries - 1)))
      response.on('close', () => passed.destroy())
      passed.end(Buffer.concat(chunks))
    }
    if (request.body) return send()
    request.on('data', (chunk) => chunks.push(chunk)).on('end', send)
  }

  #upgrade(request, socket, head, tries) {
    socket.on('error', () => {})
    if (!tries) return socket.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\n')
    const port = this.#next(request.url)
    const target = connect(port, '127.0.0.1')
    target.on('error', () => (this.upgraded.has(socket) ? socket.destroy() : this.#upgrade(request, socket, head, tries - 1)))
    target.on('connect', () => {
      this.upgraded.set(socket, port)
      const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`)
      target.write(`${request.method} ${request.url} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`)
      target.write(head)
      socket.pipe(target).pipe(socket)
      target.on('close', () => socket.destroy())
      socket.on('close', () => { this.upgraded.delete(socket); target.destroy() })
    })
  }
}
