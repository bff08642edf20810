// How is a key shown that was just made? Once, until whoever made it says that they have it.

import { useEffect, useRef } from 'react'
import { dateTime } from '../../format.js'
import { Icon } from '../../icons.js'
import { Copy } from '../../parts/page.js'
import type { MadeKey } from './shapes.js'

export function Shown({ made, close }: { made: MadeKey; close: () => void }) {
  const place = useRef<HTMLElement>(null)
  useEffect(() => place.current?.focus(), [made.id])
  return (
    <section ref={place} className="panel made" aria-label="The new key" tabIndex={-1}>
      <p className="row">
        <Icon name="keys" />
        <b className="grow">{made.name ? `The key ${made.name} was made` : 'The key was made'}</b>
      </p>
      <p>Store it now: it is not shown again, and nobody can read it back.</p>
      <div className="row secret">
        <code className="grow">{made.key}</code>
        <Copy text={made.key} what="Copy the key" />
      </div>
      {made.replaces && (
        <p className="help">
          It may do the same as <code>{made.replaces}</code>, which goes on working for the overlap that you chose. Put the new
          one where the old one is used, look here when the old one was used last, and let it end.
        </p>
      )}
      {made.expires_at && <p className="help">It ends on {dateTime(made.expires_at)}.</p>}
      <p className="row end">
        <button type="button" className="primary" onClick={close}>
          I have stored it
        </button>
      </p>
    </section>
  )
}
