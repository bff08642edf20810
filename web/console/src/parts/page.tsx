// Of which parts is a page made?

import { type ReactNode, useId, useState } from 'react'
import { Icon } from '../icons.js'

/** The head of a page: its name, one line of what it is for, and what can be done. */
export function Page({
  title,
  lead,
  actions,
  children,
}: {
  title: string
  lead?: ReactNode
  actions?: ReactNode
  children: ReactNode
}) {
  return (
    <div className="page">
      <header className="head">
        <div className="grow">
          <h1>{title}</h1>
          {lead && <p className="lead">{lead}</p>}
        </div>
        {actions && <div className="row">{actions}</div>}
      </header>
      {children}
    </div>
  )
}

/** A named part of a page. */
export function Panel({
  title,
  note,
  actions,
  flush = false,
  children,
}: {
  title: string
  note?: ReactNode
  actions?: ReactNode
  flush?: boolean
  children: ReactNode
}) {
  const id = useId()
  return (
    <section className="panel" aria-labelledby={id} data-flush={flush || undefined}>
      <header>
        <h2 id={id}>{title}</h2>
        {note && <span className="help">{note}</span>}
        <span className="grow" />
        {actions}
      </header>
      <div className="body">{children}</div>
    </section>
  )
}

export function Badge({
  tone = 'plain',
  children,
}: {
  tone?: 'plain' | 'good' | 'warn' | 'bad' | 'accent'
  children: ReactNode
}) {
  return (
    <span className="badge" data-tone={tone}>
      {children}
    </span>
  )
}

/** Names and values, one a line. What is null is left out. */
export function Facts({ of }: { of: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {of
        .filter(([, value]) => value !== null && value !== undefined && value !== '')
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  )
}

export function Copy({ text, what = 'Copy' }: { text: string; what?: string }) {
  const [done, setDone] = useState(false)
  const copy = async () => {
    await navigator.clipboard?.writeText(text).catch(() => {})
    setDone(true)
    setTimeout(setDone, 1500, false)
  }
  return (
    <button type="button" className="quiet" title={what} onClick={() => void copy()}>
      <Icon name={done ? 'yes' : 'copy'} label={done ? 'Copied' : what} />
    </button>
  )
}

/** JSON as text: whatever is in it stays text. */
export function Json({ value, most = 100_000 }: { value: unknown; most?: number }) {
  const text = JSON.stringify(value, null, 2) ?? 'nothing'
  const rest = text.length - most
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must be reachable by the keyboard
    <section className="json" aria-label="JSON" tabIndex={0}>
      <pre>{rest > 0 ? text.slice(0, most) : text}</pre>
      {rest > 0 && <p className="help">… {rest} more characters</p>}
    </section>
  )
}
