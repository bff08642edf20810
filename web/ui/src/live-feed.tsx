// What happens now?

import type { CarillonEvent } from '@carillon/client'
import { type EventListOptions, useEvents } from '@carillon/react'
import { Fragment, type ReactNode, useEffect, useRef, useState } from 'react'
import { Feed } from './feed.js'
import { Icon } from './icons.js'
import { type LookProps, useLook } from './look.js'
import { relative, useNow, whole } from './time.js'

/** What the live feed may be told. */
export interface LiveFeedProps extends LookProps, EventListOptions {
  /** Which types; default all. */
  pattern?: string
  /** What stands in the line of an event. Default: its type, and its `data` if that is a text. */
  describe?: (event: CarillonEvent) => ReactNode
  /** Draws an event in place of the usual; wrap it into an `article`. */
  renderItem?: (event: CarillonEvent) => ReactNode
}

const described = ({ type, data }: CarillonEvent): string => (typeof data === 'string' ? `${type}: ${data}` : type)

/** Events as they come, the newest first. It can be paused: nothing is lost meanwhile but what is beyond `limit`. */
export function LiveFeed({
  pattern = '*',
  describe = described,
  renderItem,
  channel,
  history,
  limit = 50,
  ...own
}: LiveFeedProps) {
  const look = useLook(own)
  const { t, say } = look
  const events = useEvents(pattern, { channel, history, limit }) as readonly CarillonEvent[]
  const [paused, setPaused] = useState<readonly CarillonEvent[] | null>(null)
  const now = useNow(30_000)
  const shown = paused ?? events
  const waiting = paused ? since(events, paused.at(-1)).length : 0
  const spoken = useFresh(events, (n) => say(t.newEvents, { n }))
  return (
    <section {...look.root('livefeed')} aria-label={t.live}>
      <div className="crln-row crln-head">
        <h2>{t.live}</h2>
        <button
          type="button"
          className="crln-button"
          aria-pressed={paused !== null}
          onClick={() => setPaused(paused ? null : events)}
        >
          <Icon name={paused ? 'play' : 'pause'} />
          {paused ? t.resume : t.pause}
          {waiting > 0 && <span className="crln-count">{say(t.newEvents, { n: waiting })}</span>}
        </button>
      </div>
      <output className="crln-hidden" aria-live="polite">
        {spoken}
      </output>
      {shown.length === 0 ? (
        <p className="crln-empty">{t.empty}</p>
      ) : (
        <Feed label={t.live} isBusy={false}>
          {[...shown].reverse().map((event, at) =>
            renderItem ? (
              <Fragment key={`${event.epoch}${event.seq}`}>{renderItem(event)}</Fragment>
            ) : (
              <article
                key={`${event.epoch}${event.seq}`}
                className="crln-item crln-event"
                // biome-ignore lint/a11y/noNoninteractiveTabindex: the articles of a feed can be reached with the keyboard (WAI-ARIA)
                tabIndex={0}
                aria-label={event.type}
                aria-posinset={at + 1}
                aria-setsize={-1}
                data-priority={event.priority}
              >
                <span className="crln-grow">{describe(event)}</span>
                {event.actor && <span className="crln-note">{event.actor}</span>}
                <time dateTime={event.time} title={whole(event.time, t.locale)}>
                  {now === null ? '' : relative(event.time, now, t.locale)}
                </time>
              </article>
            ),
          )}
        </Feed>
      )}
    </section>
  )
}

/** How many have come since it was last said, every ten seconds; the first list is no news. */
function useFresh(events: readonly CarillonEvent[], say: (n: number) => string): string {
  const [text, setText] = useState('')
  const newest = useRef({ events, say })
  const heard = useRef<CarillonEvent | undefined>(undefined)
  useEffect(() => {
    newest.current = { events, say }
    heard.current ??= events.at(-1)
  })
  useEffect(() => {
    const timer = setInterval(() => {
      const count = since(newest.current.events, heard.current).length
      heard.current = newest.current.events.at(-1)
      setText(count > 0 ? newest.current.say(count) : '')
    }, 10_000)
    return () => clearInterval(timer)
  }, [])
  return text
}

/** Those that come after `event`. */
function since(events: readonly CarillonEvent[], event: CarillonEvent | undefined): readonly CarillonEvent[] {
  return event ? events.filter(({ epoch, seq }) => epoch !== event.epoch || seq > event.seq) : events
}
