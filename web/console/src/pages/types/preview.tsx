// What would a notice of this type say, in each of its languages, with this data?

import { useState } from 'react'
import { call } from '../../api.js'
import { useAsk } from '../../ask.js'
import { Area } from '../../parts/area.js'
import { Cards, type CardTexts } from '../../parts/cards.js'
import { areAllAt, faultOf } from '../../parts/faults.js'
import { Panel } from '../../parts/page.js'
import { Loading, Trouble } from '../../parts/states.js'
import { type EventType, readJson, sampleOf } from './shapes.js'

/** Languages that are previewed. */
const MOST = 8

export function Preview({ tenant, type }: { tenant: string; type: EventType }) {
  const [text, setText] = useState(() => JSON.stringify(sampleOf(type), null, 2))
  const data = readJson(text)
  const [shown, show] = useState(text)
  const languages = ['', ...Object.keys(type.locales)].slice(0, MOST)
  const previews = useAsk(`preview ${tenant} ${JSON.stringify(type)} ${shown}`, async (signal) => {
    const path = `/v1/event-types/${encodeURIComponent(type.type)}/preview`
    const all: CardTexts[] = []
    // One after the other: a tenant has few turns at a time.
    for (const locale of languages) {
      const body = { ...(locale && { locale }), data: readJson(shown).value ?? {} }
      all.push((await call<CardTexts>('POST', path, { signal, query: { tenant }, body })).body)
    }
    return all
  })
  const { problem } = previews
  const faults = faultOf(problem, '/data')
  return (
    <Panel title="Preview" note="Of what is saved">
      <form
        className="form"
        aria-label="Preview"
        onSubmit={(event) => {
          event.preventDefault()
          if (text === shown) previews.reload()
          else show(text)
        }}
      >
        <Area
          label="Data of an event"
          value={text}
          className="mono"
          rows={Math.min(12, Math.max(3, text.split('\n').length))}
          fault={data.fault ?? faults}
          onChange={setText}
        />
        <div className="row">
          <button type="submit" disabled={data.fault !== undefined}>
            Preview
          </button>
        </div>
        {problem && !areAllAt(problem, ['/data']) ? (
          <Trouble problem={problem} retry={previews.reload} />
        ) : previews.value ? (
          !problem && <Cards of={previews.value} />
        ) : (
          !problem && <Loading what="the preview" />
        )}
      </form>
    </Panel>
  )
}
