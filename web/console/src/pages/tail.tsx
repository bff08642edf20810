// What is published, as it comes? Filters in the URL, a pause that loses nothing, and the whole story of one event beside it.

import type { CarillonEvent, Client } from '@carillon/client'
import { useEffect, useMemo, useRef, useState } from 'react'
import { clock, compact, number } from '../format.js'
import { Icon } from '../icons.js'
import { useClientState, useTenantClient } from '../live.js'
import { Filter } from '../parts/fields.js'
import { Badge, Page } from '../parts/page.js'
import { Rows } from '../parts/rows.js'
import { Empty } from '../parts/states.js'
import { Story } from '../parts/story.js'
import { useParams } from '../route.js'
import { useSession } from '../session.js'
import { MOST_ROWS, type Row, TailBuffer, type TailFilter } from '../tail-buffer.js'
import { useChosenTenant } from '../tenant.js'

const HEIGHT = 28

export default function Tail() {
  const tenant = useChosenTenant()
  const [query, change] = useParams()
  const filter = useMemo<TailFilter>(
    () => ({
      type: query.get('type') ?? '',
      channel: query.get('channel') ?? '',
      user: query.get('user') ?? '',
      text: query.get('text') ?? '',
    }),
    [query],
  )
  const client = useTenantClient(tenant)
  const tail = useTail(client, filter)
  const [selected, select] = useState<Row | null>(null)
  const place = useRef<HTMLDivElement>(null)
  const isFiltered = Object.values(filter).some(Boolean)
  const { rows, isHeld, hold, go } = tail
  const resume = () => {
    go()
    if (place.current) place.current.scrollTop = 0
  }
  return (
    <Page
      title="Live tail"
      lead={`What is published in ${tenant}, as it comes; newest first.`}
      actions={
        <>
          <Connected client={client} />
          <button type="button" onClick={isHeld ? resume : hold} aria-pressed={isHeld}>
            <Icon name={isHeld ? 'play' : 'pause'} /> {isHeld ? 'Continue' : 'Pause'}
          </button>
          <button
            type="button"
            onClick={() => {
              select(null)
              tail.clear()
              resume()
            }}
          >
            <Icon name="clear" /> Clear
          </button>
        </>
      }
    >
      <div className="fields tail-filters">
        <Filter label="Type" placeholder="order.*" value={filter.type} onChange={(type) => change({ type })} />
        <Filter label="Channel" placeholder="contact:123" value={filter.channel} onChange={(channel) => change({ channel })} />
        <Filter label="User (actor or recipient)" placeholder="mila" value={filter.user} onChange={(user) => change({ user })} />
        <Filter label="Text" placeholder="anywhere in the event" value={filter.text} onChange={(text) => change({ text })} />
      </div>
      <Hears channel={filter.channel} client={client} />
      <div className="tail" data-story={selected !== null || undefined}>
        <section className="panel" aria-label="Events">
          <header>
            <span className="help" data-testid="counts">
              <b>{number(rows.length)}</b> shown of {number(tail.held)} · {compact(tail.rate)} /s · {number(tail.received)}{' '}
              received
              {tail.received > tail.held && ` · the newest ${compact(MOST_ROWS)} are kept`}
            </span>
            <span className="grow" />
            {isHeld && (
              <button type="button" className="quiet accent" onClick={resume}>
                <Icon name="up" /> {tail.waiting === 0 ? 'Paused' : `${number(tail.waiting)} new`}
              </button>
            )}
          </header>
          {rows.length === 0 ? (
            <Nothing
              isFiltered={isFiltered}
              held={tail.held}
              clear={() => change({ type: null, channel: null, user: null, text: null })}
            />
          ) : (
            <Rows
              label="Events, newest first"
              count={rows.length}
              row={(at) => rows[rows.length - 1 - at]}
              id={(row) => row.n}
              draw={(row) => <Line row={row} />}
              height={HEIGHT}
              selected={selected?.n ?? null}
              select={(row) => {
                hold()
                select(row)
              }}
              place={place}
              // Whoever scrolls reads: what they look at stays where it is.
              onScroll={(top) => top > HEIGHT && hold()}
            />
          )}
        </section>
        {selected && <Story row={selected} close={() => select(null)} />}
      </div>
    </Page>
  )
}

function Connected({ client }: { client: Client | null }) {
  const state = useClientState(client)
  if (state.status === 'open') return <Badge tone="good">Connected</Badge>
  const text = {
    idle: 'Connecting',
    connecting: 'Connecting',
    waiting: 'Reconnecting',
    offline: 'Offline',
    closed: 'Closed',
    failed: 'Not connected',
  }
  return (
    <span title={state.reason}>
      <Badge tone={state.status === 'failed' || state.status === 'closed' ? 'bad' : 'warn'}>{text[state.status]}</Badge>
    </span>
  )
}

/** What is heard here is what these credentials are in: of a key everything, of a token its own channels and the one of the filter. */
function Hears({ channel, client }: { channel: string; client: Client | null }) {
  const now = useSession()
  const state = useClientState(client)
  const isPerson = now.status === 'in' && now.who.kind === 'user'
  const [refused, refuse] = useState<string | null>(null)
  const isOpen = state.status === 'open'
  useEffect(() => {
    if (!client || !isPerson || !channel || !isOpen) return
    const joined = client.channel(channel)
    const leave = joined.join()
    joined.ready().then(
      () => refuse(null),
      (error: Error) => refuse(error.message),
    )
    return leave
  }, [client, isPerson, channel, isOpen])
  if (state.status === 'failed')
    return (
      <p className="note bad" role="alert">
        <Icon name="warn" /> Nothing comes: {state.reason}
      </p>
    )
  if (!isPerson) return null
  if (refused && channel)
    return (
      <p className="note bad" role="alert">
        <Icon name="warn" /> {channel} cannot be heard: {refused}
      </p>
    )
  return (
    <p className="help">
      A user token hears its own channels, and the one that is named in the filter. An API key hears everything.
    </p>
  )
}

function Nothing({ isFiltered, held, clear }: { isFiltered: boolean; held: number; clear: () => void }) {
  if (isFiltered && held > 0)
    return (
      <Empty title="Nothing that came matches the filter">
        <p>{number(held)} events are held, and new ones are looked at as they come.</p>
        <button type="button" onClick={clear}>
          Show all of them
        </button>
      </Empty>
    )
  return (
    <Empty title={isFiltered ? 'Nothing has come yet that matches' : 'Nothing has come yet'}>
      What is published from now on is shown at once.
    </Empty>
  )
}

function Line({ row: { event, text, at } }: { row: Row }) {
  return (
    <>
      <span className="when" title={event.time}>
        {clock(at)}
      </span>
      <span className="seq">{event.seq}</span>
      <span className="type" title={event.type}>
        {event.type}
      </span>
      <span className="to">{event.channels.slice(0, 4).join(' ')}</span>
      <span className="said">{text.slice(0, 300)}</span>
    </>
  )
}

interface Shown {
  readonly rows: readonly Row[]
  readonly held: number
  readonly received: number
  readonly rate: number
  /** Received since the pause, and let through by the filter. */
  readonly waiting: number
}

const NOTHING: Shown = { rows: [], held: 0, received: 0, rate: 0, waiting: 0 }

/** The events of a connection, drawn once a frame however many come. */
function useTail(client: Client | null, filter: TailFilter) {
  const [buffer] = useState(() => new TailBuffer())
  const [shown, show] = useState(NOTHING)
  const [paused, pause] = useState<{ rows: readonly Row[]; after: number } | null>(null)
  const held = useRef(paused)
  const dirty = useRef(true)
  useEffect(() => {
    if (!client) return
    return client.on('*', (event) => {
      buffer.add(event as CarillonEvent, Date.now())
      dirty.current = true
    })
  }, [client, buffer])
  useEffect(() => {
    buffer.setFilter(filter)
    dirty.current = true
    // Another filter is another view: also of what a pause holds.
    held.current = null
    pause(null)
  }, [buffer, filter])
  useEffect(() => {
    let frame = 0
    const counts: [time: number, received: number][] = []
    const draw = (time: number) => {
      frame = requestAnimationFrame(draw)
      const last = counts.at(-1)
      if (!last || time - last[0] > 250) {
        counts.push([time, buffer.received])
        if (counts.length > 9) counts.shift()
        if (counts.length > 1 && counts[0]![1] !== buffer.received) dirty.current = true
      }
      if (!dirty.current && counts[0]?.[1] === buffer.received) return
      dirty.current = buffer.look()
      const [then, before] = counts[0]!
      const rate = time > then ? ((buffer.received - before) / (time - then)) * 1000 : 0
      const stopped = held.current
      const rows = stopped ? stopped.rows : buffer.shown
      const waiting = stopped ? newer(buffer.shown, stopped.after) : 0
      // What grows is the same array: a view of it is made anew so that React sees a change.
      show({ rows, held: buffer.held, received: buffer.received, rate, waiting })
    }
    frame = requestAnimationFrame(draw)
    return () => cancelAnimationFrame(frame)
  }, [buffer])
  return {
    ...shown,
    isHeld: paused !== null,
    hold() {
      if (held.current) return
      held.current = { rows: [...buffer.shown], after: buffer.received }
      pause(held.current)
    },
    go() {
      held.current = null
      dirty.current = true
      pause(null)
    },
    clear() {
      buffer.clear()
      held.current = null
      dirty.current = true
      pause(null)
    },
  }
}

/** How many rows at the end came after the one of this number. */
function newer(rows: readonly Row[], after: number): number {
  let [low, high] = [0, rows.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (rows[middle]!.n > after) high = middle
    else low = middle + 1
  }
  return rows.length - low
}
