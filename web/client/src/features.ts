/** What does a client offer beside the core: people, history, rows, the inbox, requests, several tenants? */

import type { createChannels, Handle, InRoom, MoreChannel, Room } from './channels.js'
import type { Connection } from './connection.js'
import { CarillonError } from './errors.js'
import { createKeeping, type Keeping } from './keeping.js'
import { lazyInbox } from './lazy-inbox.js'
import { lazyLive } from './lazy-live.js'
import { lazyPeople } from './lazy-people.js'
import { createListeners, type Listeners } from './listeners.js'
import { isAfter } from './position.js'
import type { Past, Reader } from './reads.js'
import { createSpeaking } from './speaking.js'
import type { Stream } from './stream.js'
import { createTenants, type Made, type Together } from './tenants.js'
import type { Frame } from './transport.js'
import type {
  CarillonEvent,
  Client,
  ClientOptions,
  ConnectionState,
  CoreClient,
  Position,
  RequestOptions,
  Resync,
  TokenReason,
  Unsubscribe,
} from './types.js'
import { type CreateWatching, createWatching } from './watching.js'

/** What the core is for them. */
export interface Kit {
  readonly options: ClientOptions
  readonly base: string
  readonly channels: ReturnType<typeof createChannels>
  readonly stream: Stream
  readonly states: Listeners<ConnectionState>
  readonly resyncs: Listeners<Resync>
  readonly identified: Listeners<string | null>
  wake(): void
  connect(): void
  halt(to: 'idle' | 'closed', code: string, reason: string): void
  /** Null: there is none, or the token that says which tabs belong together is on its way. */
  connection(): Pick<Connection, 'request' | 'share' | 'sync'> | null
  report(error: unknown): void
  thrown(error: unknown): void
  misuse(message: string): void
  identify(person: string | null): void
  /** What is kept under it is this client's, in its tenant. */
  name(): string
  tenant(): string | undefined
  state(): ConnectionState
  person(): string | null
  /** Another number: another person, who may have been shown something. */
  gone(): number
  /** Another number: another person. */
  persons(): number
  /** These two fail once it is another person. */
  token(persons: number, reason: TokenReason): Promise<string>
  still(persons: number): void
  client(): Client
  make(options: ClientOptions, together: Together): Made
  /** This client is for another tenant; `before` is called while the connection is still there, if there is one. */
  move(tenant: string, before: () => void): void
}

/** What reads the log, whose code comes when it is used. */
export type Reading = <T>(read: (reads: typeof import('./reads.js'), reader: Reader) => Promise<T>) => Promise<T>

export interface More {
  /** The client knows where it begins. */
  readonly starts: Listeners<Position>
  readonly frames: Listeners<Frame>
  /** Something may have been missed. */
  readonly backs: Listeners<void>
  readonly keeping: Keeping
  readonly watching: CreateWatching
  readonly tenants: ReturnType<typeof createTenants>
  readonly members: Omit<Client, Exclude<keyof CoreClient, 'identify' | 'connect' | 'close'>>
  channel(name: string, room: Room, as: InRoom): MoreChannel
  /** Nothing of what was shown is of use any more. */
  forget(): void
}

export type Features = (kit: Kit, together: Together | null) => More

export const features: Features = (kit, together) => {
  const { options, channels, stream, report, wake } = kit
  const [starts, frames, backs] = [
    createListeners<Position>(kit.thrown),
    createListeners<Frame>(kit.thrown),
    createListeners<void>(kit.thrown),
  ]
  const keeping = createKeeping(kit)
  const tenants = createTenants(kit, together)
  /** Who closed the client asks for nothing: it is connected again by name alone. */
  function goesOn() {
    if (kit.state().status === 'closed') throw new CarillonError('closed', 'close()')
  }
  const { send, publish, activity, ping } = createSpeaking(kit, goesOn)
  const people = {
    request: send,
    report,
    failed: kit.thrown,
    sync: () => kit.connection()?.sync(),
    isOpen: () => kit.state().status === 'open',
    user() {
      const state = kit.state()
      return state.status === 'open' ? state.identity.user : (kit.person() ?? undefined)
    },
  }

  const request: Client['request'] = async (...given) => {
    goesOn()
    const mine = kit.persons()
    const { request } = await import('./rest.js')
    const token = (reason: TokenReason) => kit.token(mine, reason)
    const answer = await request(options.api ?? kit.base, kit.tenant(), token, ...given)
    kit.still(mine)
    return answer as never
  }

  const reading: Reading = async (read) =>
    read(await import('./reads.js'), { request, tenant: kit.tenant() ?? stream.tenant, epoch: stream.seen?.epoch ?? '' })
  const history = (name: string | null, past: Past) => reading((reads, reader) => reads.history(reader, name, past))

  const live = <State>(given: Parameters<Client['live']>[0] & { channels?: readonly string[] }) =>
    lazyLive<State>(kit, reading, starts, given as never)

  const preferences = (method: string, path = '', given?: RequestOptions) =>
    request(method, `/v1/preferences${path}`, given).then(({ body }) => body as never)

  const inbox = lazyInbox(
    async () =>
      (await import('./inbox.js')).createInbox({
        request,
        wake,
        onEvent: (handler) => channels.add(null, '*', handler),
        onFrame: frames.add,
        onBack: backs.add,
        report,
      }),
    report,
  )

  /** Of those who want the past first, what comes while it is read and how far it was read; called, both are another person's, and forgotten. */
  const gates = new Set<() => void>()
  /** First the past, then what came while it was read. */
  function afterPast(name: string, room: Room, as: InRoom, pattern: string, handler: Handle, limit: number): Unsubscribe {
    /** Null: it is read, or nobody wants it any more. */
    let waiting: CarillonEvent[] | null = []
    /** How far the past was read: the log was ahead of the connection, which tells these again. Of no epoch: the next person's does not. */
    let readTo: Position | null = null
    const told: Handle = (event) => (event.replay || isAfter(event.seq, event.epoch, readTo)) && handler(event)
    const empty = () => {
      waiting &&= []
      readTo = {} as Position
    }
    const undo = as.add(name, pattern, (event) => {
      if (!waiting) return told(event)
      waiting.push(event)
      return read
    })
    const call = (event: CarillonEvent) => as.call(told, event)
    const read = room.channel
      .ready()
      .then((upTo) =>
        reading((reads, reader) =>
          reads.past(
            reader,
            name,
            { limit, type: pattern, upTo },
            (position) => {
              readTo ??= position
              return waiting
            },
            call,
          ),
        ),
      )
      .catch(report)
      .then(() => {
        waiting?.forEach(call)
        waiting = null
      })
    gates.add(empty)
    return () => {
      waiting = null
      gates.delete(empty)
      undo()
    }
  }

  return {
    starts,
    frames,
    backs,
    keeping,
    watching: createWatching,
    tenants,
    members: {
      ...tenants.members,
      identify: (next) => (together?.identify ?? kit.identify)(next),
      connect() {
        kit.connect()
        tenants.each((one) => one.client.connect())
      },
      close() {
        kit.halt('closed', 'closed', 'close()')
        tenants.now?.keep(0)
        tenants.each((one) => one.client.close())
      },
      publish: publish as Client['publish'],
      activity,
      ping,
      live: live as Client['live'],
      inbox,
      preferences: {
        get: () => preferences('GET'),
        set: (body) => preferences('PUT', '', { body }),
        test: (type, given) => preferences('GET', '/test', { query: { type, ...given } }),
      },
      request,
    },
    channel: (name, room, as) => ({
      on: (pattern, handler, { history: limit } = {}) =>
        limit ? afterPast(name, room, as, pattern, handler as never, limit) : as.add(name, pattern, handler as never),
      publish: (type, data, given) => publish(name, type, data, given),
      history: (given = {}) => history(name, given),
      latest: () => reading((reads, reader) => reads.latest(reader, name)),
      state: (given) => live({ ...given, channels: [name] } as never) as never,
      ...lazyPeople(people, name, room, as),
    }),
    forget() {
      inbox.forget()
      for (const empty of gates) empty()
    },
  }
}
