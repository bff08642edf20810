// What would be sent, and to how many people?

import { number } from '../../format.js'
import { Cards } from '../../parts/cards.js'
import { Figure, Figures } from '../../parts/figure.js'
import type { DryRun } from './draft.js'
import { textsOf } from './shapes.js'

export function Review({ of: { notice, audience } }: { of: DryRun['events'][number] }) {
  return (
    <section className="review form" aria-label="What would be sent">
      <h3>This would be sent</h3>
      {notice && <Cards of={textsOf({ ...notice, body: notice.body ?? undefined })} />}
      {audience ? (
        <Figures label="Audience">
          <Figure
            name="People"
            value={`${audience.complete ? '' : '≥ '}${number(audience.people)}`}
            under="as far as they are known"
          />
          <Figure name="Devices" value={number(audience.devices)} under="of theirs" />
          <Figure name="Connected" value={number(audience.connected)} under="get it at once" />
        </Figures>
      ) : (
        <p className="note">How many people it is for is not told to these credentials: they may publish, not read.</p>
      )}
      {audience?.people === 0 && (
        <p className="note warn">Nobody is known yet whom this is for. It is for whoever comes later, too.</p>
      )}
    </section>
  )
}
