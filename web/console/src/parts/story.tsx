// What became of one event? What it says, who it was for, which devices have it, and where to ask further.

import { get } from '../api.js'
import { useAsk } from '../ask.js'
import { ago, bytes, clock, dateTime, number } from '../format.js'
import { Icon } from '../icons.js'
import { Link } from '../route.js'
import type { Row } from '../tail-buffer.js'
import { Badge, Copy, Facts, Json } from './page.js'
import { Answer, Empty } from './states.js'

interface Deliveries {
  readonly seq: number
  readonly audience: number
  readonly delivered: number
  readonly acked: number
  readonly pending: readonly {
    readonly user: string
    readonly device: string
    readonly last_seen: string
    readonly delivered: number
    readonly acked: number
  }[]
  readonly next: string | null
}

interface Stored {
  readonly seq: number
  readonly event: { readonly data?: unknown }
}

export function Story({ row, close }: { row: Row; close: () => void }) {
  const { event } = row
  const people = event.channels.filter((channel) => channel.startsWith('user:')).map((channel) => channel.slice(5))
  return (
    <aside className="panel story" aria-label="The event">
      <header>
        <h2 className="grow mono">{event.type}</h2>
        <Copy text={event.id} what="Copy the id" />
        <button type="button" className="quiet" onClick={close}>
          <Icon name="close" label="Close" />
        </button>
      </header>
      <div className="body">
        <Facts
          of={[
            [
              'Id',
              <span key="id" className="mono">
                {event.id}
              </span>,
            ],
            ['Position', <span key="seq" className="mono">{`${event.seq} of ${event.epoch}`}</span>],
            ['Time', `${dateTime(event.time)} · here ${clock(row.at)}`],
            ['Source', event.source],
            ['Actor', event.actor],
            ['Subject', event.subject],
            [
              'Priority',
              event.priority && event.priority !== 'normal' ? (
                <Badge tone={event.priority === 'low' ? 'plain' : 'warn'}>{event.priority}</Badge>
              ) : null,
            ],
            ['Key', event.latestkey],
            ['Channels', <Channels key="to" of={event.channels} />],
            [
              'Notice',
              event.notify ? `${event.notify.title ?? ''}${event.notify.requires_ack ? ' (must be acknowledged)' : ''}` : null,
            ],
          ]}
        />
        <h3>Data</h3>
        {row.isCut ? <Whole row={row} /> : <Json value={event.data ?? null} />}
        <h3>Devices</h3>
        <Devices id={event.id} />
        <h3>Why was it (not) delivered?</h3>
        <ul className="asks">
          {people.slice(0, 20).map((user) => (
            <li key={user}>
              <Link to="/why" with={{ event: event.id, user }}>
                to {user}
              </Link>
            </li>
          ))}
          <li>
            <Link to="/why" with={{ event: event.id }}>
              to somebody else…
            </Link>
          </li>
        </ul>
      </div>
    </aside>
  )
}

function Channels({ of }: { of: readonly string[] }) {
  return (
    <span className="row chips">
      {of.map((channel) => (
        <Link key={channel} className="badge" to="/tail" with={{ channel }}>
          {channel}
        </Link>
      ))}
    </span>
  )
}

/** Of a large event only the beginning is held: the rest comes from the log when it is looked at. */
function Whole({ row }: { row: Row }) {
  const { id } = row.event
  const stored = useAsk(`event ${id}`, (signal) => get<Stored>(`/v1/events/${encodeURIComponent(id)}`, { signal }))
  return (
    <Answer of={stored} what="the event">
      {({ event }) => (
        <>
          <p className="help">{bytes(new Blob([JSON.stringify(event.data ?? null)]).size)}, read from the log</p>
          <Json value={event.data ?? null} />
        </>
      )}
    </Answer>
  )
}

function Devices({ id }: { id: string }) {
  const devices = useAsk(
    `deliveries ${id}`,
    (signal) => get<Deliveries>(`/v1/events/${encodeURIComponent(id)}/deliveries`, { query: { limit: 20 }, signal }),
    {
      every: 3_000,
    },
  )
  return (
    <Answer of={devices} what="the devices">
      {({ audience, delivered, acked, pending, seq, next }) =>
        audience === 0 ? (
          <Empty title="It is for no device that is known">
            Devices are known that name themselves when they connect, and were seen before the event.
          </Empty>
        ) : (
          <>
            <p>
              <b>{number(delivered)}</b> of {number(audience)} have it, <b>{number(acked)}</b> have acknowledged it.
            </p>
            <ul className="devices">
              {pending.map((one) => (
                <li key={`${one.user} ${one.device}`}>
                  <span className="dot" data-tone={one.delivered >= seq ? 'good' : 'warn'} />
                  <Link to="/why" with={{ event: id, user: one.user, device: one.device }}>
                    {one.user} · {one.device}
                  </Link>
                  <span className="help">
                    {one.delivered >= seq ? 'has it, not acknowledged' : `has not got it, seen ${ago(one.last_seen)}`}
                  </span>
                </li>
              ))}
            </ul>
            {next && <p className="help">… and more</p>}
          </>
        )
      }
    </Answer>
  )
}
