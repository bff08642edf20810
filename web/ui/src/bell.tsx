// How does one see that there is something new, and get to it?

import { useClient, useInboxSummary } from '@carillon/react'
import { type KeyboardEvent, useEffect, useId, useRef, useState } from 'react'
import { Icon } from './icons.js'
import { Inbox, type InboxProps } from './inbox.js'
import { useLook } from './look.js'
import { useAnnounced } from './time.js'

/** A button with the number of what is unread. It opens the inbox. */
export function Bell(props: InboxProps) {
  const look = useLook(props)
  const { t, say, number } = look
  const client = useClient()
  const summary = useInboxSummary()
  const [isOpen, setOpen] = useState(false)
  /** The panel hangs from the side of the button where it fits into the page. */
  const [isAtStart, setAtStart] = useState(false)
  const id = useId()
  const part = useRef<HTMLDivElement>(null)
  const button = useRef<HTMLButtonElement>(null)
  const panel = useRef<HTMLDivElement>(null)
  const unread = summary?.unread ?? 0
  const unseen = summary?.unseen ?? 0
  const count = summary?.more || unread > 99 ? `${number(99)}+` : number(unread)
  const label = unread > 0 ? `${t.notifications}, ${say(t.unreadCount, { n: count })}` : t.notifications
  const announced = useAnnounced(unread > 0 ? label : '')

  // Who looks has seen what there is.
  useEffect(() => {
    if (isOpen && unseen > 0) client.inbox.seenAll().catch(() => {})
  }, [isOpen, unseen, client])
  useEffect(() => {
    if (!isOpen) return setAtStart(false)
    panel.current?.focus()
    const place = panel.current?.getBoundingClientRect()
    setAtStart(place !== undefined && (place.left < 0 || place.right > window.innerWidth))
    const leave = (event: PointerEvent) => {
      if (!part.current?.contains(event.target as Node)) setOpen(false)
    }
    document.addEventListener('pointerdown', leave)
    return () => document.removeEventListener('pointerdown', leave)
  }, [isOpen])
  const leaveByKey = (event: KeyboardEvent) => {
    if (event.key !== 'Escape' || !isOpen) return
    event.stopPropagation()
    setOpen(false)
    button.current?.focus()
  }
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: Escape closes what is open inside
    <div {...look.root('bell')} ref={part} onKeyDown={leaveByKey}>
      <button
        ref={button}
        type="button"
        className="crln-button crln-bellbutton"
        aria-label={label}
        aria-haspopup="dialog"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        onClick={() => setOpen(!isOpen)}
      >
        <Icon name="bell" />
        {unread > 0 && (
          <span className="crln-badge" aria-hidden="true">
            {count}
          </span>
        )}
      </button>
      <span role="status" className="crln-hidden">
        {announced}
      </span>
      {isOpen && (
        <div
          ref={panel}
          id={id}
          className="crln-popover"
          data-side={isAtStart ? 'start' : undefined}
          role="dialog"
          aria-label={t.notifications}
          tabIndex={-1}
        >
          <Inbox {...props} />
        </div>
      )}
    </div>
  )
}
