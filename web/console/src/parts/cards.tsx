// How does a notice look to people, in each of its languages?

import { number } from '../format.js'
import './cards.css'

export interface CardTexts {
  /** null: the text without a language. */
  readonly locale: string | null
  readonly title: string
  readonly body?: string | undefined
}

/** Languages that are shown. */
const MOST = 12

export function Cards({ of }: { of: readonly CardTexts[] }) {
  return (
    <>
      <ul className="cards" aria-label="In each language">
        {of.slice(0, MOST).map(({ locale, title, body }) => (
          <li key={locale ?? ''} lang={locale ?? undefined} dir="auto">
            {of.length > 1 && <small dir="ltr">{locale ?? 'no language'}</small>}
            <b>{title}</b>
            {body && <p>{body}</p>}
          </li>
        ))}
      </ul>
      {of.length > MOST && <p className="help">and in {number(of.length - MOST)} more languages</p>}
    </>
  )
}
