// How is a secret shown that only one answer has? Once, until whoever asked for it says that they have it.

import { type ReactNode, useEffect, useRef } from 'react'
import { Icon } from '../icons.js'
import { Copy } from './page.js'
import './secret.css'

export function Secret({
  name,
  title,
  secret,
  children,
  close,
}: {
  /** What it is: the key, the secret. */
  name: string
  title: string
  secret: string
  children?: ReactNode
  close: () => void
}) {
  const place = useRef<HTMLElement>(null)
  useEffect(() => {
    // Another secret in the same place is to be read, too.
    if (secret) place.current?.focus()
  }, [secret])
  return (
    <section ref={place} className="panel made" aria-label={`The new ${name}`} tabIndex={-1}>
      <p className="row">
        <Icon name="keys" />
        <b className="grow">{title}</b>
      </p>
      <p>Store it now: it is not shown again, and nobody can read it back.</p>
      <div className="row once">
        <code className="grow">{secret}</code>
        <Copy text={secret} what={`Copy the ${name}`} />
      </div>
      {children}
      <p className="row end">
        <button type="button" className="primary" onClick={close}>
          I have stored it
        </button>
      </p>
    </section>
  )
}
