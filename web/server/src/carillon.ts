// How does a back end publish, write notices and make tickets?

import { ask, type Sender } from './http.js'
import { uuid7 } from './id.js'
import { defaultRetry, type RetryPolicy } from './retry.js'
import type { Notice, Position, PublishEvent, PublishOptions, Receipt, RequestOptions, Ticket } from './types.js'

/** What a client of a back end is made with. */
export interface CarillonOptions {
  /** Where the installation is: `https://events.example.com`, without `/v1`. */
  url: string
  /** `crln_…`, with the scope `publish`. */
  apiKey: string
  /** Whose log, for API keys of all tenants; an event may name another. */
  tenant?: string
  /** Some of the retry policy; `{ attempts: 1 }` sends once. */
  retry?: Partial<RetryPolicy>
  /** How long one attempt may take. Default 10,000. */
  timeoutMs?: number
  fetch?: typeof globalThis.fetch
}

/** A back end's connection to an installation: no state beside its options, safe to share. */
export class Carillon {
  readonly #base: string
  readonly #key: string
  readonly #tenant: string | undefined
  readonly #sender: Sender

  constructor(options: CarillonOptions) {
    const url = new URL(options.url)
    if (url.protocol !== 'https:' && url.protocol !== 'http:')
      throw new TypeError(`url: ${url.protocol}// is no address of an installation; use https://`)
    if (!/^crln_[\x21-\x7e]+$/.test(options.apiKey)) throw new TypeError('apiKey: an API key begins with crln_')
    this.#base = url.href.replace(/\/+$/, '')
    this.#key = options.apiKey
    this.#tenant = options.tenant
    this.#sender = {
      fetch: options.fetch ?? ((input, init) => globalThis.fetch(input, init)),
      retry: { ...defaultRetry, ...options.retry },
      timeoutMs: options.timeoutMs ?? 10_000,
    }
  }

  /**
   * Publishes one event, or an array of 1–500 that is stored whole or not at all. Resolves when all of it is committed.
   *
   * What is sent again, by this method or by you with the same ids or the same `idempotencyKey`, is stored once.
   */
  publish(event: PublishEvent, options?: PublishOptions): Promise<Receipt>
  publish(events: readonly PublishEvent[], options?: PublishOptions): Promise<Receipt[]>
  async publish(what: PublishEvent | readonly PublishEvent[], options: PublishOptions = {}): Promise<Receipt | Receipt[]> {
    const whole = (event: PublishEvent) => this.#complete(event, options.idempotencyKey)
    // The body is made once: a retry sends the same bytes, with the same ids.
    const body = Array.isArray(what) ? what.map(whole) : whole(what as PublishEvent)
    return (await this.#post('/v1/events', body, options)) as Receipt | Receipt[]
  }

  /** Writes a notice into the inbox of everybody it is for. Resolves when it is committed. */
  async notice(notice: Notice, options: Omit<PublishOptions, 'connection'> = {}): Promise<Receipt> {
    return (await this.#post('/v1/notices', this.#complete(notice, options.idempotencyKey), options)) as Receipt
  }

  /**
   * Makes a ticket with a user's token: it stands in the URL of one WebSocket or event stream within 30 s (`/v1/ws?ticket=…`) and works once.
   */
  async ticket(token: string, options: RequestOptions & { tenant?: string } = {}): Promise<Ticket> {
    const headers = { authorization: `Bearer ${token}` }
    return (await ask(
      this.#sender,
      `${this.#base}/v1/tickets${this.#tenantQuery(options.tenant)}`,
      headers,
      '{}',
      options.signal,
    )) as Ticket
  }

  /**
   * Where the log stands now. Ask for it before you load rows and hand both to the page: it goes on from there. Needs the scope `read`.
   */
  async position(options: RequestOptions & { tenant?: string } = {}): Promise<Position> {
    const url = `${this.#base}/v1/position${this.#tenantQuery(options.tenant)}`
    return (await ask(this.#sender, url, { authorization: `Bearer ${this.#key}` }, null, options.signal)) as Position
  }

  #tenantQuery(tenant = this.#tenant): string {
    return tenant === undefined ? '' : `?tenant=${encodeURIComponent(tenant)}`
  }

  /** The tenant, and an id that makes a repeat recognisable where neither id nor key was given. */
  #complete<Body extends { id?: string; tenant?: string }>(body: Body, key: string | undefined): Body {
    return {
      ...(this.#tenant !== undefined && { tenant: this.#tenant }),
      ...(key === undefined && { id: uuid7(Date.now()) }),
      ...withoutUndefined(body),
    }
  }

  #post(path: string, body: unknown, options: PublishOptions): Promise<unknown> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.#key}` }
    if (options.idempotencyKey !== undefined) headers['idempotency-key'] = options.idempotencyKey
    if (options.connection !== undefined) headers['x-carillon-connection'] = options.connection
    return ask(this.#sender, this.#base + path, headers, JSON.stringify(body), options.signal)
  }
}

/** `{ id: undefined }` means what `{}` means. */
function withoutUndefined<Body extends object>(body: Body): Body {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as Body
}
