// How is one change shown: who did what, when, and what is otherwise since?

import { useState } from 'react'
import { ago, dateTime } from '../../format.js'
import { Badge, Json } from '../../parts/page.js'
import { type Difference, differences, written } from './difference.js'
import { type Change, wordsOf } from './shapes.js'

/** So many places are shown before somebody asks for all. */
const FEW = 6

export function Record({ of: change, filter }: { of: Change; filter: (values: { [name: string]: string }) => void }) {
  const { kind, word, tone } = wordsOf(change.action)
  const [isWhole, setWhole] = useState(false)
  const found = differences(change.before, change.after)
  const shown = isWhole ? found : found.slice(0, FEW)
  return (
    <li className="change">
      <div className="row">
        <Badge tone={tone}>
          {kind} {word}
        </Badge>
        <button
          type="button"
          className="quiet mono target"
          title="Only changes to this"
          onClick={() => filter({ target: change.target, action: change.action.split('.')[0] ?? '' })}
        >
          {change.target}
        </button>
        <span className="grow" />
        <span className="help">
          by{' '}
          <button
            type="button"
            className="quiet mono target"
            title="Only changes by them"
            onClick={() => filter({ actor: change.actor })}
          >
            {change.actor}
          </button>{' '}
          <time dateTime={change.at} title={dateTime(change.at)}>
            {ago(change.at)}
          </time>
        </span>
      </div>
      {found.length > 0 ? (
        <dl className="difference">
          {shown.map((place) => (
            <Place key={place.path} of={place} />
          ))}
        </dl>
      ) : (
        <p className="help">Nothing that is shown is otherwise: the same was set again.</p>
      )}
      <div className="row">
        {found.length > FEW && (
          <button type="button" className="quiet link" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
            {isWhole ? 'Fewer places' : `All ${found.length} places`}
          </button>
        )}
        <details>
          <summary>Record {change.id} as JSON</summary>
          <Json value={change} />
        </details>
      </div>
    </li>
  )
}

function Place({ of: { path, before, after } }: { of: Difference }) {
  return (
    <div>
      <dt className="mono">{path || 'value'}</dt>
      <dd>
        {before !== undefined && (
          <del>
            <span className="hidden">was: </span>
            {written(before)}
          </del>
        )}
        {after !== undefined && (
          <ins>
            <span className="hidden">is: </span>
            {written(after)}
          </ins>
        )}
      </dd>
    </div>
  )
}
