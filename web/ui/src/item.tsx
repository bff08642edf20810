// What does one entry of the inbox show, and what can be done with it?

import type { InboxItem } from '@carillon/client'
import { type MouseEvent, useId } from 'react'
import { Icon, IconButton } from './icons.js'
import type { Used } from './look.js'
import { relative, whole } from './time.js'

/** What can be done with an entry. Each shows at once, and can be undone where the inbox says so. */
export interface ItemActions {
  read(): void
  unread(): void
  archive(): void
  unarchive(): void
  remove(): void
  snooze(until: Date): void
  confirm(): void
  /** Its link was followed: marks it read, and tells `onOpen`. */
  open(click?: MouseEvent): void
}

/** Where a click may lead: a page, and nothing that runs. */
export function safeLink(action: string | undefined): string | undefined {
  if (!action) return undefined
  try {
    const { protocol } = new URL(action, 'https://page.invalid/')
    return protocol === 'https:' || protocol === 'http:' || protocol === 'mailto:' ? action : undefined
  } catch {
    return undefined
  }
}

/** One hour, tomorrow at eight, next Monday at eight, by the reader's clock. */
export function snoozeTimes(now: Date): { oneHour: Date; tomorrow: Date; nextWeek: Date } {
  const at = (days: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() + days, 8)
  return { oneHour: new Date(now.getTime() + 3_600_000), tomorrow: at(1), nextWeek: at((8 - now.getDay()) % 7 || 7) }
}

interface ItemProps {
  item: InboxItem
  actions: ItemActions
  look: Used
  /** The present, or null where a server renders. */
  now: number | null
  /** Its place in the feed, from 1, and how many there are (-1: not known). */
  place: number
  size: number
}

export function Item({ item, actions, look, now, place, size }: ItemProps) {
  const { t, number } = look
  const id = useId()
  const link = safeLink(item.action)
  const isUrgent = item.priority === 'urgent' || item.priority === 'critical'
  const times = () => snoozeTimes(new Date())
  const title = (
    <>
      {!item.read && <span className="crln-unreaddot" role="img" aria-label={t.unread} />}
      {isUrgent && <strong className="crln-urgent">{t.urgent}</strong>}
      <bdi>{item.title}</bdi>
      {item.count !== undefined && item.count > 1 && <span className="crln-count">{number(item.count)}</span>}
    </>
  )
  return (
    <article
      className="crln-item"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: the articles of a feed can be reached with the keyboard (WAI-ARIA)
      tabIndex={0}
      aria-labelledby={`${id}t`}
      aria-describedby={item.body ? `${id}b` : undefined}
      aria-posinset={place}
      aria-setsize={size}
      data-unread={!item.read || undefined}
      data-priority={item.priority}
    >
      <h3 id={`${id}t`} className="crln-title">
        {link ? (
          <a href={link} onClick={actions.open}>
            {title}
          </a>
        ) : (
          title
        )}
      </h3>
      {item.body && (
        <p id={`${id}b`} className="crln-body">
          <bdi>{item.body}</bdi>
        </p>
      )}
      <footer className="crln-row">
        <time dateTime={item.time} title={whole(item.time, t.locale)} suppressHydrationWarning>
          {now === null ? '' : relative(item.time, now, t.locale)}
        </time>
        {item.acked_at && <span className="crln-confirmed">{t.confirmed}</span>}
        <span className="crln-actions">
          {item.requires_ack && !item.acked_at && (
            <button type="button" className="crln-button crln-primary" onClick={actions.confirm}>
              {t.confirm}
            </button>
          )}
          {item.read ? (
            <IconButton name="dot" label={t.markUnread} onClick={actions.unread} />
          ) : (
            <IconButton name="check" label={t.read} onClick={actions.read} />
          )}
          {!item.archived && (
            <span className="crln-snooze">
              <Icon name="clock" />
              <select
                className="crln-button"
                aria-label={t.snooze}
                title={t.snooze}
                value=""
                onChange={(event) => actions.snooze(times()[event.target.value as 'oneHour'])}
              >
                <option value="" hidden />
                <option value="oneHour">{t.oneHour}</option>
                <option value="tomorrow">{t.tomorrow}</option>
                <option value="nextWeek">{t.nextWeek}</option>
              </select>
            </span>
          )}
          {item.archived ? (
            <IconButton name="inbox" label={t.unarchive} onClick={actions.unarchive} />
          ) : (
            <IconButton name="archive" label={t.archive} onClick={actions.archive} />
          )}
          <IconButton name="trash" label={t.remove} onClick={actions.remove} />
        </span>
      </footer>
    </article>
  )
}
