// What do tabs do about faults at a bad moment? The client is the real one; the server, the locks and the page are not.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../../testing/stack.js'
import { type CarillonEvent, type Client, type ClientOptions, createClient } from '../src/index.js'
import { createStream } from '../src/stream.js'
import type { Frame } from '../src/transport.js'
import { locks } from './fake-locks.js'

const token = `h.${Buffer.from(JSON.stringify({ sub: 'anna', tenant: 't', exp: 4e9 })).toString('base64url')}.s`

/** One log, and whoever is connected to it. */
class Server {
  seq = 100
  /** A cursor before it is of no use. */
  floor = 0
  sockets: FakeSocket[] = []
  got: Frame[] = []
  /** Every event after the cursor, as a gateway does. */
  replay = async (socket: FakeSocket, since: number) => {
    for (let seq = since + 1; seq <= this.seq; seq++) socket.down(event(seq))
  }
  /** The answer to a frame; null: none. */
  answer = async (frame: Frame): Promise<Frame | null> => {
    if (frame.type === 'subscribe') return { type: 'ok', channels: frame.channels, seq: this.seq, epoch: 'e' }
    return { type: 'ok', expires_in: 3600 }
  }
  emit(count = 1, channel = 'tenant') {
    for (; count > 0; count--) {
      this.seq++
      for (const socket of [...this.sockets]) if (socket.welcomed) socket.down(event(this.seq, channel))
    }
  }
  begun = () => this.got.filter(({ type }) => type === 'auth').map(({ since }) => since)
  of = (type: string) => this.got.filter((frame) => frame.type === type)
}

const event = (seq: number, channel = 'tenant'): Frame => ({
  type: 'event',
  seq,
  channels: [channel],
  event: { id: `i${seq}`, type: 'x', source: 's', time: '', data: seq },
})

let server: Server

class FakeSocket {
  readyState = 0
  onopen: (() => void) | null = null
  onmessage: ((message: { data: string }) => void) | null = null
  onclose: ((end: { code: number; reason: string }) => void) | null = null
  welcomed = false
  constructor() {
    server.sockets.push(this)
    setImmediate(() => {
      this.readyState = 1
      this.onopen?.()
    })
  }
  send(text: string) {
    const frame: Frame = JSON.parse(text)
    server.got.push(frame)
    setImmediate(async () => {
      if (frame.type === 'auth' && !this.welcomed) {
        this.welcomed = true
        const reset = frame.since < server.floor
        const since = reset ? server.seq : (frame.since ?? server.seq)
        const at = { seq: since, epoch: 'e' }
        const welcome = {
          type: 'welcome',
          connection: 'c',
          tenant: 't',
          user: 'anna',
          resumed: reset ? 'reset' : 'replay',
          ...at,
        }
        this.down({ ...welcome, heartbeat_ms: 25_000, limits: { frames_per_second: 50 } })
        if (reset) this.down({ type: 'reset', reason: 'too_old', ...at })
        await server.replay(this, since)
      } else {
        const answer = await server.answer(frame)
        if (answer && frame.id !== undefined) this.down({ ...answer, id: frame.id })
      }
    })
  }
  down(frame: Frame) {
    this.onmessage?.({ data: JSON.stringify(frame) })
  }
  cut() {
    server.sockets = server.sockets.filter((one) => one !== this)
    this.onclose?.({ code: 1012, reason: 'cut' })
  }
  close() {
    this.readyState = 3
    server.sockets = server.sockets.filter((one) => one !== this)
  }
}

let lock: ReturnType<typeof locks>
let clients: Client[] = []

beforeEach(() => {
  server = new Server()
  lock = locks()
  vi.stubGlobal('navigator', { locks: lock })
  vi.stubGlobal('window', new EventTarget())
  vi.stubGlobal('document', Object.assign(new EventTarget(), { visibilityState: 'visible' }))
})
afterEach(() => {
  lock.stop()
  for (const client of clients) client.close()
  clients = []
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

interface Tab {
  client: Client
  got: number[]
  errors: string[]
}

/** One more tab of the same person. */
function tab(options: Partial<ClientOptions> = {}): Tab {
  const [got, errors] = [[] as number[], [] as string[]]
  const client = createClient({
    url: 'http://tabs',
    name: expect.getState().currentTestName!,
    getToken: () => token,
    WebSocket: FakeSocket as unknown as typeof WebSocket,
    onError: (error) => errors.push(error.code),
    ...options,
  })
  clients.push(client)
  client.on('*', (one: CarillonEvent) => void got.push(one.seq))
  return { client, got, errors }
}

const open = ({ client }: Tab, leader: boolean) =>
  until(
    `open, leader ${leader}: ${JSON.stringify(client.state)}`,
    () => client.state.status === 'open' && client.state.leader === leader,
  )
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)
const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}
/** Another page takes the lead, and holds the lock until it is told to let go. */
function rob(): () => void {
  let release = () => {}
  lock.request('', { steal: true }, () => new Promise<void>((resolve) => (release = resolve))).catch(() => {})
  return () => release()
}
/** Says what another page would say, and hears what the tabs say. */
function other(client = 'anna') {
  const heard: Record<string, unknown>[] = []
  const bus = new BroadcastChannel(`${expect.getState().currentTestName!} ${client}`)
  bus.onmessage = (message) => heard.push(...((message as MessageEvent).data as Record<string, unknown>[]))
  return {
    heard,
    say: (...messages: object[]) => bus.postMessage(messages.map((one) => ({ from: 'other', ...one }))),
    close: () => bus.close(),
  }
}

test('a tab that comes with a cursor while events are coming has every one from there on', async () => {
  const first = tab()
  await open(first, true)
  let going = true
  const publishing = (async () => {
    while (going) {
      server.emit()
      await turns(1)
    }
  })()
  await turns(20)
  const second = tab({ position: 'e:90' })
  await until('events', () => second.got.length > 200)
  going = false
  await publishing
  await until('the last event', () => second.got.at(-1) === server.seq)
  expect(second.got).toEqual(range(91, server.seq))
  expect(first.got).toEqual(range(101, server.seq))
})

test('a tab that comes without a cursor while events are coming gets them from there on', async () => {
  const first = tab()
  await open(first, true)
  let going = true
  const publishing = (async () => {
    while (going) {
      server.emit()
      await turns(1)
    }
  })()
  const second = tab()
  await until('events', () => second.got.length > 50)
  going = false
  await publishing
  await until('the last event', () => second.got.at(-1) === server.seq)
  expect(second.got).toEqual(range(second.got[0]!, server.seq))
  expect(second.errors).toEqual([])
})

test('an event that comes before a tab knows where it begins takes nothing of what follows along', async () => {
  lock.request('', {}, () => new Promise(() => {})).catch(() => {})
  const page = other()
  const only = tab()
  await until('it says where it is', () => page.heard.some(({ t }) => t === 'want'))
  const { from: to, fresh } = page.heard.find(({ t }) => t === 'want')!
  const at = { seq: 101, epoch: 'e' }
  page.say(
    { t: 'frame', frame: { type: 'heartbeat', seq: 100 } },
    { t: 'frame', frame: event(101) },
    { t: 'lead', to, fresh, hidden: false, state: null, origin: at },
    { t: 'frame', to, frame: { type: 'welcome', tenant: 't', user: 'anna', ...at } },
    { t: 'frame', frame: event(102) },
  )
  await until('the event after its welcome', () => only.got.length > 0)
  expect(only.got).toEqual([102])
  expect(only.client.position).toEqual({ seq: 102, epoch: 'e' })
  page.close()
})

test('a stream that does not know where it begins takes no event and no heartbeat without an epoch', () => {
  const delivered: number[] = []
  const stream = createStream({
    deliver({ seq }) {
      delivered.push(seq)
      return []
    },
    resync() {},
    handled() {},
  })
  stream.frame(event(7))
  stream.frame({ type: 'heartbeat', seq: 7 })
  expect([stream.seen, delivered]).toEqual([null, []])
  stream.frame({ type: 'welcome', tenant: 't', seq: 7, epoch: 'e' })
  stream.frame(event(8))
  expect([stream.seen, delivered]).toEqual([{ seq: 8, epoch: 'e' }, [8]])
})

test('a message that cannot be read does not take those after it along', async () => {
  const first = tab()
  await open(first, true)
  const second = tab()
  await open(second, false)
  const page = other()
  page.say({ t: 'frame' }, { t: 'frame', frame: event(101) })
  await until('the event after it', () => second.got.length > 0)
  expect(second.got).toEqual([101])
  expect(second.errors).toEqual(['handler'])
  page.close()
})

test('the leader is cut while a tab that was behind catches up, and another one comes: both have everything', async () => {
  const first = tab()
  await open(first, true)
  server.emit(20)
  let third: Tab | null = null
  let links = 0
  server.replay = async (socket, since) => {
    const link = ++links
    for (let seq = since + 1; seq <= server.seq && server.sockets.includes(socket); seq++) {
      socket.down(event(seq))
      await turns(2)
      if (link === 1 && seq === 105) socket.cut()
      // While this link hands on what the second lacks, a third comes that lacks less.
      if (link === 2 && seq === 110) {
        third = tab({ position: 'e:112' })
        await turns(40)
      }
    }
  }
  const second = tab({ position: 'e:100' })
  await until('the end of the log', () => second.got.at(-1) === 120)
  await until('the third has come', () => third?.got.at(-1) === 120)
  expect(second.got).toEqual(range(101, 120))
  expect(third!.got).toEqual(range(113, 120))
  expect(first.got).toEqual(range(101, 120))
  // The third has not made the replay begin once more.
  expect(server.begun()).toEqual([undefined, 100, 105])
})

test('a tab that is too far behind is told so, once', async () => {
  server.floor = 50
  const first = tab()
  await open(first, true)
  const second = tab({ position: 'e:5' })
  const resyncs: string[] = []
  second.client.onResync(({ reason }) => resyncs.push(reason))
  await until('it is told', () => resyncs.length > 0)
  await turns(50)
  server.emit()
  await until('an event', () => second.got.length > 0)
  expect([resyncs, second.got, server.begun()]).toEqual([['too_old'], [101], [undefined, 5]])
})

test('a tab that was behind has the events of its channels, too', async () => {
  const first = tab()
  await open(first, true)
  first.client.channel('order:1').join()
  await first.client.channel('order:1').ready()
  server.replay = async (socket, since) => {
    for (let seq = since + 1; seq <= server.seq; seq++) socket.down(event(seq, 'order:1'))
  }
  server.emit(10, 'order:1')
  // All of it was said to other tabs before this one is there.
  await turns(50)
  const second = tab({ position: 'e:105' })
  second.client.channel('order:1').join()
  await until('the end of the log', () => second.got.at(-1) === 110)
  expect(second.got).toEqual(range(106, 110))
})

test('a tab that comes with the newest cursor gets nothing of the channels of others', async () => {
  const first = tab()
  await open(first, true)
  first.client.channel('order:1').join()
  await first.client.channel('order:1').ready()
  const second = tab({ position: 'e:100' })
  await open(second, false)
  server.emit(1, 'order:1')
  server.emit(1)
  await until('its own event', () => second.got.includes(102))
  expect([first.got, second.got]).toEqual([[101, 102], [102]])
  expect(server.begun()).toEqual([undefined])
})

test('where locks are refused a tab has a connection of its own', async () => {
  const request = vi.fn(async () => {
    throw new DOMException('not allowed here', 'SecurityError')
  })
  vi.stubGlobal('navigator', { locks: { ...lock, request } })
  const only = tab()
  await open(only, true)
  expect(request).toHaveBeenCalledTimes(1)
  server.emit()
  await until('an event', () => only.got.length === 1)
  await only.client.channel('order:1').publish('x', 1)
})

test('where channels between tabs are refused a tab has a connection of its own', async () => {
  vi.stubGlobal(
    'BroadcastChannel',
    class {
      constructor() {
        throw new DOMException('not allowed here', 'SecurityError')
      }
    },
  )
  const only = tab()
  await open(only, true)
  server.emit()
  await until('an event', () => only.got.length === 1)
})

test('a tab whose lock is taken again and again does not ask for it without a pause', async () => {
  const asked: number[] = []
  vi.stubGlobal('navigator', {
    locks: {
      ...lock,
      request: async () => {
        asked.push(performance.now())
        throw new DOMException('', 'AbortError')
      },
    },
  })
  tab()
  await until('it asks again', () => asked.length > 1)
  // Half a second; a timer may be a moment early by another clock.
  expect(asked[1]! - asked[0]!).toBeGreaterThan(490)
})

test('what was being published when another tab takes over is published by that one, with the same id', async () => {
  const first = tab()
  await open(first, true)
  const second = tab()
  await open(second, false)
  const { answer } = server
  let silent = true
  server.answer = async (frame) => (frame.type === 'publish' && silent ? null : answer(frame))
  const results = Promise.all([first.client.publish('a', 'x', 1), second.client.publish('a', 'x', 2)])
  await until('both are under way', () => server.of('publish').length === 2)
  const release = rob()
  await until('nobody leads', () => server.sockets.length === 0)
  silent = false
  release()
  await expect(results).resolves.toHaveLength(2)
  const ids = server.of('publish').map((frame) => frame.event.id)
  expect(ids).toHaveLength(4)
  expect(new Set(ids).size).toBe(2)
})

test('a command that is said again when its answer is under way runs once', async () => {
  const first = tab()
  await open(first, true)
  const page = other()
  const command = { t: 'command', n: 1, frame: { type: 'publish', channel: 'a', event: { type: 'x', id: 'one' } } }
  page.say(command)
  await until('the answer', () => page.heard.some(({ t }) => t === 'answer'))
  page.say(command)
  await until('the answer again', () => page.heard.filter(({ t }) => t === 'answer').length === 2)
  expect(server.of('publish')).toHaveLength(1)
  page.close()
})

test('a tab is told that it is in a channel when the server has said so', async () => {
  const first = tab()
  await open(first, true)
  const second = tab()
  await open(second, false)
  const leave = first.client.channel('order:1').join()
  await first.client.channel('order:1').ready()
  leave()
  await until('it is left', () => server.of('unsubscribe').length === 1)
  let agree = () => {}
  const { answer } = server
  server.answer = async (frame) => {
    if (frame.type === 'subscribe') await new Promise<void>((resolve) => (agree = resolve))
    return answer(frame)
  }
  let ready = false
  second.client.channel('order:1').join()
  const told = second.client
    .channel('order:1')
    .ready()
    .then(() => (ready = true))
  await until('it is asked for', () => server.of('subscribe').length === 2)
  // Whatever the leader had to say to the tab before has come by then.
  await second.client.ping()
  expect(ready).toBe(false)
  agree()
  await told
})

test('a tab that asks later for a channel that was refused is told so', async () => {
  const { answer } = server
  // The next attempt of the leader has no answer: it is not by that one that the tab is told.
  server.answer = async (frame) => {
    if (frame.type !== 'subscribe') return answer(frame)
    return server.of('subscribe').length > 1
      ? null
      : { type: 'error', code: 'unavailable', message: 'not now', channels: frame.channels }
  }
  const first = tab()
  await open(first, true)
  const second = tab()
  await open(second, false)
  first.client.channel('order:1').join()
  await expect(first.client.channel('order:1').ready()).rejects.toMatchObject({ code: 'unavailable' })
  // What the leader had to say to the tab before has come by then.
  await second.client.ping()
  second.client.channel('order:1').join()
  await expect(second.client.channel('order:1').ready()).rejects.toMatchObject({ code: 'unavailable' })
})

test('a page that holds the lock and has never said a word loses it', async () => {
  lock.request('', {}, () => new Promise(() => {})).catch(() => {})
  const late = tab()
  await until('it leads', () => late.client.state.status === 'open', 12_000)
})

test('a page that comes back while a leader stands still takes over', async () => {
  const first = tab()
  await open(first, true)
  window.dispatchEvent(new Event('pagehide'))
  lock.request('', {}, () => new Promise(() => {})).catch(() => {})
  await until('no connection', () => server.sockets.length === 0)
  server.seq = 110
  window.dispatchEvent(new Event('pageshow'))
  await until('it leads again', () => server.sockets.length === 1, 12_000)
  await until('what it has missed', () => first.got.at(-1) === 110)
  expect(first.got).toEqual(range(101, 110))
})
