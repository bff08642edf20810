// What do the tests say to a real installation, and is every event there once, in order?

import { createHmac } from 'node:crypto'
import { expect } from 'vitest'
import { type Stack, until } from '../../testing/stack.js'
import { type CarillonEvent, type Client, type ClientOptions, createClient } from '../src/index.js'

const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')

export class Installation {
  #sent = 0
  #closed = false
  #clients: Client[] = []

  constructor(
    readonly stack: Stack,
    /** Each test has its own. */
    readonly tenant: string,
  ) {}

  token(claims: object = {}, seconds = 3600): string {
    const now = Math.floor(Date.now() / 1000)
    const all = { sub: 'anna', tenant: this.tenant, channels: ['order:*'], iat: now, exp: now + seconds, ...claims }
    const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(all)}`
    return `${signed}.${createHmac('sha256', this.stack.jwt_secret).update(signed).digest('base64url')}`
  }

  client(options: Partial<ClientOptions> = {}): Client {
    const client = createClient({ url: this.stack.lb, getToken: () => this.token(), onError() {}, ...options })
    this.#clients.push(client)
    return client
  }

  async rest(method: string, path: string, body?: unknown): Promise<Response> {
    const answer = await fetch(this.stack.publisher + path, {
      method,
      headers: { authorization: `Bearer ${this.stack.api_key}`, 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer
  }

  /** The next n events, numbered from 1 on. */
  async publish(n: number, channel = 'order:1', more: object = {}): Promise<void> {
    for (let left = n; left > 0; left -= 500) {
      const events = Array.from({ length: Math.min(left, 500) }, () => {
        const n = ++this.#sent
        return { tenant: this.tenant, type: 'order.paid', channels: [channel], data: { n }, ...more }
      })
      await this.rest('POST', '/v1/events', events)
    }
  }

  get sent(): number {
    return this.#sent
  }

  /** Publishes 20 events a time until it is told to stop; resolves with how many there are then. */
  publishing(channel = 'order:1'): () => Promise<number> {
    let going = true
    const done = (async () => {
      // A test that has failed may have ended the installation by now.
      while (going && !this.#closed) await this.publish(20, channel).catch((error) => this.#closed || Promise.reject(error))
      return this.sent
    })()
    return () => {
      going = false
      return done
    }
  }

  close(): void {
    this.#closed = true
    for (const client of this.#clients.splice(0)) client.close()
  }
}

/** Every event once, in order. */
export class Checker {
  readonly events: CarillonEvent[] = []
  readonly handle = (event: CarillonEvent): void => {
    this.events.push(event)
  }

  get numbers(): number[] {
    return this.events.map((event) => event.data.n)
  }

  /** All up to the nth have come, and perhaps some more. */
  async has(n: number, milliseconds = 20_000): Promise<void> {
    await until(`event ${n}, the last is ${this.numbers.at(-1)}`, () => this.events.length >= n, milliseconds)
    this.whole(1, this.events.length)
  }

  whole(from: number, to: number): void {
    expect(this.numbers).toEqual(Array.from({ length: to - from + 1 }, (_, i) => from + i))
    const seqs = this.events.map((event) => event.seq)
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b))
  }
}

export const state = (client: Client, status: string, milliseconds = 20_000): Promise<void> =>
  until(`${status}, it is ${JSON.stringify(client.state)}`, () => client.state.status === status, milliseconds)
