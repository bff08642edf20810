// What stands under a list that goes on, and instead of one that is not for everybody?

import type { Many } from '../many.js'
import './list.css'

export function More<Row>({ of, what }: { of: Many<Row>; what: string }) {
  if (!of.value?.hasMore) return null
  return (
    <p className="more row center">
      <button type="button" disabled={of.isLoading} onClick={of.more}>
        {of.isLoading ? 'Loading…' : `More ${what}`}
      </button>
    </p>
  )
}

/** Instead of what only administrators may see. */
export function ForAdministrators({ what }: { what: string }) {
  return (
    <div className="panel state empty">
      <p className="title">{what} are for administrators</p>
      <p>
        You are signed in with credentials that may only read. Sign in with an API key that has the scope <code>admin</code>, or
        with a token that has it among its <code>caps</code>.
      </p>
    </div>
  )
}
