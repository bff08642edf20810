// Which notices are shown as they come, and for how long?

import type { CarillonEvent, Client, PreferencesTest } from '@carillon/client'
import { useClient, useNotice } from '@carillon/react'
import { type MouseEvent, useCallback, useEffect, useState } from 'react'
import { showOnDesktop } from './desktop.js'
import { IconButton } from './icons.js'
import { safeLink } from './item.js'
import { type LookProps, useLook } from './look.js'

/** How long toasts stay, how many there are, and what opening one does. */
export interface ToasterProps extends LookProps {
  /** How long one stays, in milliseconds. Urgent ones and those to be confirmed stay until they are closed. Default 6,000. */
  duration?: number
  /** How many are shown at a time; the oldest go first. Default 3. */
  limit?: number
  /** A toast's link was followed, or the browser's notification was clicked (without `click`). Call `click.preventDefault()` where a router leads there. */
  onOpen?: (event: CarillonEvent, click?: MouseEvent) => void
}

/** How long the service's word on a type holds. Quiet hours begin by the minute. */
const verdictMs = 30_000
const verdicts = new WeakMap<Client, Map<string, { at: number; verdict: Promise<PreferencesTest> }>>()

/** By which means the person gets a notice now: the service says so. One question for each type and priority, however many come. */
function askFor(client: Client, event: CarillonEvent): Promise<PreferencesTest> {
  const priority = event.notify?.priority ?? event.priority
  const known = verdicts.get(client) ?? new Map<string, { at: number; verdict: Promise<PreferencesTest> }>()
  verdicts.set(client, known)
  const name = `${event.type} ${priority}`
  const found = known.get(name)
  if (found && Date.now() - found.at < verdictMs) return found.verdict
  if (known.size >= 100) known.clear()
  const verdict = client.preferences.test(event.type, priority ? { priority } : {})
  known.set(name, { at: Date.now(), verdict })
  verdict.catch(() => known.delete(name))
  return verdict
}

const isUrgent = ({ notify, priority }: CarillonEvent) => ['urgent', 'critical'].includes(notify?.priority ?? priority ?? '')
const stays = (event: CarillonEvent) => isUrgent(event) || event.notify?.requires_ack === true

/** Shows notices as they come, if the person's preferences allow it: on the page, and by the browser while the page is not seen. */
export function Toaster({ duration = 6000, limit = 3, onOpen, ...own }: ToasterProps) {
  const look = useLook(own)
  const { t } = look
  const client = useClient()
  const [shown, setShown] = useState<readonly CarillonEvent[]>([])
  const close = useCallback((event: CarillonEvent) => setShown((now) => now.filter((one) => one !== event)), [])
  const open = (event: CarillonEvent, click: MouseEvent) => {
    client.inbox.read(event.seq).catch(() => {})
    close(event)
    onOpen?.(event, click)
  }
  useNotice((event) => {
    // Without an answer it stands in the inbox, and the bell counts it.
    askFor(client, event).then(
      ({ toast, desktop }) => {
        if (toast.gets && !toast.held) setShown((now) => [...now, event].slice(-limit))
        if (desktop.gets && !desktop.held) {
          showOnDesktop(event.notify?.title ?? event.type, {
            tag: event.id,
            ...(event.notify?.body && { body: event.notify.body }),
            onClick: () => onOpen?.(event),
          })
        }
      },
      () => {},
    )
  })
  const part = (isAlert: boolean) => (
    <div role={isAlert ? 'alert' : 'status'} className="crln-toasts">
      {shown
        .filter((event) => isUrgent(event) === isAlert)
        .map((event) => (
          <Toast
            key={event.id}
            event={event}
            duration={stays(event) ? null : duration}
            closeLabel={t.close}
            urgentLabel={t.urgent}
            onClose={close}
            onOpen={open}
          />
        ))}
    </div>
  )
  return (
    <section {...look.root('toaster')} aria-label={t.notifications}>
      {part(true)}
      {part(false)}
    </section>
  )
}

interface ToastProps {
  event: CarillonEvent
  /** Null: until it is closed. */
  duration: number | null
  closeLabel: string
  urgentLabel: string
  onClose: (event: CarillonEvent) => void
  onOpen: (event: CarillonEvent, click: MouseEvent) => void
}

function Toast({ event, duration, closeLabel, urgentLabel, onClose, onOpen }: ToastProps) {
  const [isHeld, setHeld] = useState(false)
  useEffect(() => {
    if (duration === null || isHeld) return
    const timer = setTimeout(() => onClose(event), duration)
    return () => clearTimeout(timer)
  }, [event, duration, isHeld, onClose])
  const { title, body, action } = event.notify ?? {}
  const link = safeLink(action)
  const hold = () => setHeld(true)
  const release = () => setHeld(false)
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it stays for as long as somebody points at it or is in it
    <div
      className="crln-toast"
      data-priority={event.notify?.priority ?? event.priority}
      onPointerEnter={hold}
      onPointerLeave={release}
      onFocus={hold}
      onBlur={release}
    >
      <div className="crln-grow">
        <p className="crln-title">
          {isUrgent(event) && <strong className="crln-urgent">{urgentLabel}</strong>}
          {link ? (
            <a href={link} onClick={(click) => onOpen(event, click)}>
              <bdi>{title}</bdi>
            </a>
          ) : (
            <bdi>{title}</bdi>
          )}
        </p>
        {body && (
          <p className="crln-body">
            <bdi>{body}</bdi>
          </p>
        )}
      </div>
      <IconButton name="close" label={closeLabel} onClick={() => onClose(event)} />
    </div>
  )
}
