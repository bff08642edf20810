// A gateway inside the test: what a client is told and when is the test's to say.

import { type Client, type ClientOptions, createClient } from '../src/index.js'

// biome-ignore lint/suspicious/noExplicitAny: frames have one field in common
type Frame = { readonly type: string; readonly [field: string]: any }

/** A token of this person, which nobody checks. */
export const tokenOf = (sub: string): string =>
  `h.${Buffer.from(JSON.stringify({ sub, tenant: 't', roles: [], exp: Math.floor(Date.now() / 1000) + 3600 })).toString('base64url')}.s`

export class FakeServer {
  seq = 100
  readonly epoch = 'e'
  /** Channels that nobody may join. */
  readonly forbidden = new Set<string>()
  /** Every frame of the clients. */
  readonly frames: Frame[] = []
  sockets: FakeSocket[] = []
  /** Another answer to a frame; null: none. Undefined: the usual one. */
  answer: (frame: Frame) => Frame | null | undefined = () => undefined
  clients: Client[] = []

  client(options: Partial<ClientOptions> = {}, create: typeof createClient = createClient): Client {
    const server = this
    class WebSocket extends FakeSocket {
      constructor() {
        super(server)
      }
    }
    const made = create({
      url: 'http://localhost',
      getToken: () => tokenOf('anna'),
      WebSocket: WebSocket as never,
      onError() {},
      ...options,
    })
    this.clients.push(made)
    return made
  }

  sent(type: string): Frame[] {
    return this.frames.filter((frame) => frame.type === type)
  }

  event(seq: number, channels: string[]): Frame {
    return {
      type: 'event',
      seq,
      epoch: this.epoch,
      channels,
      event: { id: `i-${seq}`, type: 'x', source: 's', time: '', data: seq },
    }
  }

  emit(...channels: string[]): void {
    this.seq += 1
    for (const socket of [...this.sockets]) socket.tell(this.event(this.seq, channels))
  }

  /** The node goes, and this many events are stored meanwhile. */
  cut(missed = 0): void {
    const [...sockets] = this.sockets
    this.sockets = []
    this.seq += missed
    for (const socket of sockets) socket.onclose?.({ code: 1012, reason: '' })
  }

  close(): void {
    for (const client of this.clients) client.close()
  }
}

class FakeSocket {
  readyState = 0
  onopen: (() => void) | null = null
  onmessage: ((message: { data: string }) => void) | null = null
  onclose: ((end: { code: number; reason: string }) => void) | null = null
  #isWelcome = false

  constructor(readonly server: FakeServer) {
    server.sockets.push(this)
    queueMicrotask(() => {
      this.readyState = 1
      this.onopen?.()
    })
  }

  tell(frame: Frame): void {
    this.onmessage?.({ data: JSON.stringify(frame) })
  }

  send(text: string): void {
    const frame = JSON.parse(text) as Frame
    this.server.frames.push(frame)
    queueMicrotask(() => this.#answer(frame))
  }

  close(): void {
    this.readyState = 3
    this.server.sockets = this.server.sockets.filter((one) => one !== this)
  }

  #answer(frame: Frame): void {
    const { server } = this
    const given = server.answer(frame)
    if (given === null) return
    if (given) {
      this.tell({ id: frame.id, ...given })
      return
    }
    const channels: string[] = frame.channels ?? []
    const wrong = channels.filter((name) => server.forbidden.has(name))
    if (frame.type === 'auth' && !this.#isWelcome) {
      if (wrong.length > 0) {
        this.onclose?.({ code: 4403, reason: 'channel not allowed' })
        return
      }
      this.#isWelcome = true
      this.tell({
        type: 'welcome',
        connection: 'c',
        tenant: 't',
        user: JSON.parse(Buffer.from(frame.token.split('.')[1], 'base64url').toString()).sub,
        roles: [],
        channels,
        seq: frame.since ?? server.seq,
        epoch: server.epoch,
        heartbeat_ms: 25_000,
        limits: { frames_per_second: 50 },
      })
      for (let seq = (frame.since ?? server.seq) + 1; seq <= server.seq; seq++)
        this.tell(server.event(seq, ['tenant', ...channels]))
    } else if (frame.type === 'subscribe')
      this.tell(
        wrong.length > 0
          ? { type: 'error', id: frame.id, code: 'forbidden', message: 'no', channels: wrong }
          : { type: 'ok', id: frame.id, channels, seq: server.seq, epoch: server.epoch },
      )
    else if (frame.id !== undefined) this.tell({ type: 'ok', id: frame.id })
  }
}
