/** What does the log have of a channel? */

import { CarillonError } from './errors.js'
import { parsePosition } from './position.js'
import { eventOf } from './stream.js'
import type { Frame } from './transport.js'
import type { CarillonEvent, Client, HistoryPage, Position, PositionLike, RequestOptions, RestAnswer } from './types.js'

const PAGE = 200
const MOST = 1_000
/** An answer that is behind is asked for again after this time and twice as much each time, up to the second: six seconds in all. */
const [BEHIND_MS, BEHIND_MOST_MS] = [100, 3_200]

type Page = RestAnswer<{ events: Frame[]; next: string | null }>

export interface Past {
  readonly limit?: number
  readonly since?: PositionLike
  readonly type?: string
  /** The answer has to reach this position: a publisher may be a moment behind the gateway. */
  readonly upTo?: Position
}

/** `tenant` stands in the events; `epoch` is that of the log, as it is known, for one without events. */
export interface Reader {
  readonly request: Client['request']
  readonly tenant: string
  readonly epoch: string
}

const given = (frame: Frame, tenant: string): CarillonEvent => eventOf({ ...frame, replay: true }, frame.epoch, tenant)

/** As `read`, again until the answer reaches `upTo`. */
export async function history(reader: Reader, channel: string | null, past: Past): Promise<HistoryPage> {
  const { upTo } = past
  for (let wait = BEHIND_MS; ; wait *= 2) {
    const page = await read(reader, channel, past)
    if (!upTo || page.more || page.position.epoch !== upTo.epoch || page.position.seq >= upTo.seq) return page
    if (wait > BEHIND_MOST_MS)
      throw new CarillonError('behind', `the log is read up to ${page.position.seq}, and events have come up to ${upTo.seq}`)
    await new Promise((resolve) => setTimeout(resolve, wait))
  }
}

/** The newest events of a channel, or everything after a position; `channel` null: those of one's own channels. */
async function read({ request, tenant, epoch }: Reader, channel: string | null, past: Past): Promise<HistoryPage> {
  const from = parsePosition(past.since)
  const most = Math.min(past.limit ?? (from ? MOST : 50), MOST)
  const events: CarillonEvent[] = []
  let after: string | number | null = from ? from.seq : null
  let position: Position | null = null
  let more = false
  do {
    const query: RequestOptions['query'] = {
      channel,
      type: past.type === '*' ? undefined : past.type,
      limit: Math.min(PAGE, most - events.length),
      after,
      order: from ? 'asc' : undefined,
    }
    const answer: Page = await request('GET', '/v1/events', { query })
    for (const frame of answer.body.events) {
      // Another epoch: the log is not the one that was read.
      if (from && frame.epoch !== from.epoch) return { events: [], more: true, position: from }
      events.push(given(frame, tenant))
    }
    position = from ? answer.position : (position ?? answer.position)
    const { next } = answer.body
    // Forward the end of the log has a position, backward the beginning has no next page. An answer that leads nowhere is the last.
    more = next !== null && next !== `${after}` && !(from && answer.position)
    after = next
  } while (more && events.length < most)
  if (!from) events.reverse()
  return { events, more, position: position ?? { seq: 0, epoch } }
}

/** Calls with the past of a channel, then with what came `meanwhile`; that is another list once it is another person's, and null once nobody wants it. */
export async function past(
  reader: Reader,
  channel: string,
  of: Past,
  /** Is told how far the past was read. */
  meanwhile: (readTo: Position) => CarillonEvent[] | null,
  call: (event: CarillonEvent) => unknown,
) {
  const page = await history(reader, channel, of)
  const late = meanwhile(page.position)
  if (!late) return
  const events = [...page.events]
  const next = () => meanwhile(page.position) === late && (events.shift() ?? late.shift())
  for (let event = next(); event; event = next()) await call(event)
}

/** What came in any of these channels, each event once. */
export async function since(reader: Reader, channels: readonly (string | null)[], past: Past): Promise<HistoryPage> {
  const pages = await Promise.all(channels.map((channel) => history(reader, channel, past)))
  const events = new Map(pages.flatMap((page) => page.events).map((event) => [event.seq, event]))
  return {
    ...pages[0]!,
    events: [...events.values()].sort((a, b) => a.seq - b.seq),
    more: pages.some((page) => page.more),
  }
}

/** The latest event of every key of a channel. */
export async function latest({ request, tenant, epoch }: Reader, channel: string): Promise<HistoryPage> {
  const events: CarillonEvent[] = []
  let position: Position | null = null
  let after: string | null | undefined
  do {
    const answer: Page = await request('GET', '/v1/latest', { query: { channel, after, limit: PAGE } })
    for (const frame of answer.body.events) events.push(given(frame, tenant))
    position ??= answer.position
    after = answer.body.next
  } while (after !== null)
  return { events, more: false, position: position ?? { seq: 0, epoch } }
}
