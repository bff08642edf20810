// What does a person see of their inbox?

import type { InboxFilter, InboxItem } from '@carillon/client'
import { useInbox, useInboxSummary } from '@carillon/react'
import { Fragment, type KeyboardEvent, type MouseEvent, type ReactNode, useId, useRef, useState } from 'react'
import { Feed } from './feed.js'
import { IconButton } from './icons.js'
import { Item, type ItemActions } from './item.js'
import { type LookProps, useLook } from './look.js'
import { PreferencesPane, type PreferencesPaneProps } from './preferences.js'
import { useAnnounced, useNow } from './time.js'

/** What the inbox may be told. */
export interface InboxProps extends LookProps {
  /** Kinds of notices that can be chosen: a type or the beginning of one with `*`, and what it is called. */
  kinds?: readonly { type: string; label: string }[]
  /** Draws an entry in place of the usual; wrap it into an `article`. */
  renderItem?: (item: InboxItem, actions: ItemActions) => ReactNode
  /** An entry's link was followed. Call `click.preventDefault()` where a router leads there. */
  onOpen?: (item: InboxItem, click?: MouseEvent) => void
  /** What the preferences offer; false: no preferences. Default: the `kinds`. */
  preferences?: PreferencesPaneProps['kinds'] | false
}

const tabs = ['all', 'unread', 'archived'] as const
type Tab = (typeof tabs)[number]
const filterOf: Record<Tab, InboxFilter> = { all: {}, unread: { filter: 'unread' }, archived: { filter: 'archived' } }

/** The inbox as a list with tabs, filters and undo. */
export function Inbox({ kinds = [], renderItem, onOpen, preferences = kinds, ...own }: InboxProps) {
  const look = useLook(own)
  const { t, say } = look
  const id = useId()
  const [tab, setTab] = useState<Tab>('all')
  const [kind, setKind] = useState('')
  const [isSetting, setSetting] = useState(false)
  const [done, setDone] = useState<{ text: string; undo?: () => Promise<unknown> } | null>(null)
  const list = useInbox({ ...filterOf[tab], ...(kind && { type: kind }) })
  const unread = useInboxSummary()?.unread ?? 0
  const announced = useAnnounced(unread > 0 ? say(t.unreadCount, { n: unread }) : '')
  const now = useNow(60_000)
  const tabList = useRef<HTMLDivElement>(null)
  const { inbox, items, status } = list

  const act = (action: Promise<unknown>, text?: string, undo?: () => Promise<unknown>) => {
    setDone(text ? { text, ...(undo && { undo }) } : null)
    action.catch(() => setDone({ text: t.notDone }))
  }
  const actionsOf = (item: InboxItem): ItemActions => {
    const { seq } = item
    return {
      read: () => act(inbox.read(seq)),
      unread: () => act(inbox.unread(seq)),
      archive: () => act(inbox.archive(seq), t.didArchive, () => inbox.unarchive(seq)),
      unarchive: () => act(inbox.unarchive(seq)),
      remove: () => act(inbox.remove(seq), t.didRemove, () => inbox.restore(seq)),
      snooze: (until) => act(inbox.snooze(seq, until), t.didSnooze, () => inbox.snooze(seq, null)),
      confirm: () => act(inbox.ack(seq)),
      open: (click) => {
        if (!item.read) act(inbox.read(seq))
        onOpen?.(item, click)
      },
    }
  }
  const turn = (event: KeyboardEvent) => {
    const forward = t.dir === 'rtl' ? 'ArrowLeft' : 'ArrowRight'
    const backward = t.dir === 'rtl' ? 'ArrowRight' : 'ArrowLeft'
    const step = event.key === forward ? 1 : event.key === backward ? -1 : 0
    if (!step) return
    const next = (tabs.indexOf(tab) + step + tabs.length) % tabs.length
    setTab(tabs[next] ?? 'all')
    tabList.current?.querySelectorAll<HTMLElement>('[role=tab]')[next]?.focus()
  }

  if (isSetting && preferences !== false) {
    return <PreferencesPane {...own} kinds={preferences} onBack={() => setSetting(false)} />
  }
  return (
    <section {...look.root('inbox')} aria-labelledby={`${id}h`}>
      <header className="crln-row crln-head">
        <h2 id={`${id}h`}>{t.notifications}</h2>
        <IconButton name="check" label={t.readAll} onClick={() => act(inbox.readAll())} />
        {preferences !== false && <IconButton name="gear" label={t.settings} onClick={() => setSetting(true)} />}
      </header>
      <div className="crln-row">
        <div ref={tabList} className="crln-tabs" role="tablist" aria-label={t.notifications} onKeyDown={turn}>
          {tabs.map((name) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`${id}${name}`}
              className="crln-tab"
              aria-selected={tab === name}
              aria-controls={`${id}p`}
              tabIndex={tab === name ? 0 : -1}
              onClick={() => setTab(name)}
            >
              {t[name]}
            </button>
          ))}
        </div>
        {kinds.length > 0 && (
          <select className="crln-button" aria-label={t.filter} value={kind} onChange={(event) => setKind(event.target.value)}>
            <option value="">{t.allTypes}</option>
            {kinds.map(({ type, label }) => (
              <option key={type} value={type}>
                {label}
              </option>
            ))}
          </select>
        )}
      </div>
      <div id={`${id}p`} role="tabpanel" aria-labelledby={`${id}${tab}`} className="crln-panel">
        {status === 'failed' && items.length === 0 ? (
          <p className="crln-empty">
            {t.failed}{' '}
            <button type="button" className="crln-button" onClick={() => void list.reload()}>
              {t.retry}
            </button>
          </p>
        ) : items.length === 0 ? (
          <p className="crln-empty">{status === 'loading' ? t.loading : t.empty}</p>
        ) : (
          <Feed label={t.notifications} isBusy={list.loadingMore} onEnd={list.hasMore ? () => void list.loadMore() : undefined}>
            {items.map((item, at) => {
              const actions = actionsOf(item)
              return renderItem ? (
                <Fragment key={item.seq}>{renderItem(item, actions)}</Fragment>
              ) : (
                <Item
                  key={item.seq}
                  item={item}
                  actions={actions}
                  look={look}
                  now={now}
                  place={at + 1}
                  size={list.hasMore ? -1 : items.length}
                />
              )
            })}
          </Feed>
        )}
        {list.hasMore && (
          <button
            type="button"
            className="crln-button crln-wide"
            disabled={list.loadingMore}
            onClick={() => void list.loadMore()}
          >
            {list.loadingMore ? t.loading : t.more}
          </button>
        )}
      </div>
      <div role="status" className="crln-done">
        {done && (
          <>
            {done.text}{' '}
            {done.undo && (
              <button type="button" className="crln-button" onClick={() => act(done.undo?.() ?? Promise.resolve())}>
                {t.undo}
              </button>
            )}
          </>
        )}
        <span className="crln-hidden">{announced}</span>
      </div>
    </section>
  )
}
