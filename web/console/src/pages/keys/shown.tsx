// What is to be known about a key that was just made?

import { dateTime } from '../../format.js'
import { Secret } from '../../parts/secret.js'
import type { MadeKey } from './shapes.js'

export function Shown({ made, close }: { made: MadeKey; close: () => void }) {
  return (
    <Secret name="key" title={made.name ? `The key ${made.name} was made` : 'The key was made'} secret={made.key} close={close}>
      {made.replaces && (
        <p className="help">
          It may do the same as <code>{made.replaces}</code>, which goes on working for the overlap that you chose. Put the new
          one where the old one is used, look here when the old one was used last, and let it end.
        </p>
      )}
      {made.expires_at && <p className="help">It ends on {dateTime(made.expires_at)}.</p>}
    </Secret>
  )
}
