// How is an answer shown that has a yes or a no for each of several things, and a reason?

import { Icon, type IconName } from '../icons.js'
import { Badge } from './page.js'
import './verdicts.css'

export interface VerdictRow {
  readonly what: string
  readonly why: string
  readonly is: 'yes' | 'no' | 'depends'
  /** The answer in a word. */
  readonly word: string
}

const icons = { yes: 'yes', no: 'no', depends: 'why' } as const satisfies Record<VerdictRow['is'], IconName>
const tones = { yes: 'good', no: 'bad', depends: 'warn' } as const

export function Verdicts({ rows }: { rows: readonly VerdictRow[] }) {
  return (
    <ul className="verdicts">
      {rows.map(({ what, why, is, word }) => (
        <li key={what} data-verdict={is}>
          <Icon name={icons[is]} />
          <span className="what">{what}</span>
          <span className="why">{why}</span>
          <Badge tone={tones[is]}>{word}</Badge>
        </li>
      ))}
    </ul>
  )
}
