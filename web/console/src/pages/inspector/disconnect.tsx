// How is somebody disconnected? After a question that says what it means.

import { useState } from 'react'
import type { Act } from '../../parts/act.js'
import { Confirm } from '../../parts/dialog.js'
import { useMay } from '../../session.js'
import { disconnect, type Whom } from './shapes.js'

export interface DisconnectProps {
  readonly whom: Whom
  /** Whom, in words: stands in the question. */
  readonly name: string
  readonly act: Act
  readonly after: () => void
  readonly isQuiet?: boolean
}

export function Disconnect({ whom, name, act, after, isQuiet = false }: DisconnectProps) {
  const [isAsking, setAsking] = useState(false)
  const may = useMay('admin')
  return (
    <>
      <button
        type="button"
        className={isQuiet ? 'quiet danger' : 'danger'}
        disabled={!may || act.isRunning}
        title={may ? undefined : 'Only administrators may disconnect'}
        aria-label={`Disconnect ${name}`}
        onClick={() => setAsking(true)}
      >
        Disconnect
      </button>
      {isAsking && (
        <Confirm
          title={`Disconnect ${name}?`}
          text={
            whom.connection
              ? 'This connection is closed within a second. Its token stays good, and the client comes back if it wants to.'
              : 'All that is open is closed within a second, and tokens that were issued before now are refused from then on. A new token lets them in again; below you can lift it.'
          }
          action="Disconnect"
          close={() => setAsking(false)}
          run={() =>
            void act.run(async () => {
              const words = await disconnect(whom)
              after()
              return words
            })
          }
        />
      )}
    </>
  )
}
