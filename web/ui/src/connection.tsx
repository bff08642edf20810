// How is the connection, and when is it tried again?

import type { ConnectionState } from '@carillon/client'
import { useClient, useConnection } from '@carillon/react'
import { type LookProps, type Used, useLook } from './look.js'
import { useAnnounced, useNow } from './time.js'

/** What the line of the connection may be told. */
export interface ConnectionStatusProps extends LookProps {
  /** Also while all is well. Default: only when something is wrong, or is being mended. */
  always?: boolean
}

function textOf(state: ConnectionState, { t, say }: Used, now: number | null): string {
  switch (state.status) {
    case 'open':
      return t.connected
    case 'idle':
    case 'connecting':
      return t.connecting
    case 'waiting':
      return say(t.waiting, { n: now === null ? '…' : Math.max(0, Math.ceil((state.retryAt - now) / 1000)) })
    case 'offline':
      return t.offline
    case 'closed':
      return t.closed
    case 'failed':
      return say(t.connectionFailed, { reason: state.reason })
  }
}

/** The state of the connection in words, with a countdown to the next try, and a button to try at once. */
export function ConnectionStatus({ always = false, ...own }: ConnectionStatusProps) {
  const look = useLook(own)
  const { t, say } = look
  const client = useClient()
  const state = useConnection()
  const now = useNow(state.status === 'waiting' ? 500 : 60_000)
  // The countdown is for eyes; ears hear of changes, and not of a blink.
  const isWell = state.status === 'open'
  const spoken = useAnnounced(state.status === 'waiting' ? say(t.waiting, { n: '…' }) : textOf(state, look, now), 2000)
  if (isWell && !always) return <output {...look.root('hiddenstatus')} aria-live="polite" />
  const canTry = state.status === 'waiting' || state.status === 'failed' || state.status === 'closed'
  return (
    <div {...look.root('status')} data-status={state.status}>
      <span className="crln-statusdot" aria-hidden="true" />
      <span aria-hidden="true">{textOf(state, look, now)}</span>
      <output className="crln-hidden" aria-live="polite">
        {spoken}
      </output>
      {canTry && (
        <button type="button" className="crln-button" onClick={() => client.connect()}>
          {t.tryNow}
        </button>
      )}
    </div>
  )
}
