// How are a list and one of its entries shown? Side by side; on a narrow page one of the two, and a way back.

import { type ReactNode, useEffect, useRef } from 'react'
import { Icon } from '../icons.js'
import { go, href, Link, useParams } from '../route.js'
import { Panel } from './page.js'
import './split.css'
import { Empty } from './states.js'

export interface Open {
  /** The entry that the URL names. */
  readonly chosen: string | null
  /** Another one is made. */
  readonly isNew: boolean
}

/** What the URL opens: `?as=` names an entry, `?new` makes one. */
export function useOpen(as: string): Open {
  const [query] = useParams()
  return { chosen: query.get(as), isNew: query.has('new') }
}

interface SplitProps {
  readonly list: ReactNode
  readonly open: Open
  /** Where the list alone is, and what it is called. */
  readonly to: string
  readonly all: string
  readonly children: ReactNode
}

export function Split({ list, open: { chosen, isNew }, to, all, children }: SplitProps) {
  const open = isNew ? 'new' : chosen
  const left = useRef<HTMLDivElement>(null)
  const right = useRef<HTMLDivElement>(null)
  const before = useRef(open)
  useEffect(() => {
    // What was in focus is hidden now, so the focus goes along.
    if (before.current !== open && left.current && right.current) {
      if (open !== null && getComputedStyle(left.current).display === 'none') right.current.focus({ preventScroll: true })
    }
    before.current = open
  }, [open])
  return (
    <div className="split" data-open={open !== null || undefined}>
      <div ref={left} className="split-list">
        {list}
      </div>
      <div ref={right} className="split-one" tabIndex={-1}>
        {open !== null && (
          <p className="split-back">
            <Link to={to} className="row">
              <Icon name="next" /> {all}
            </Link>
          </p>
        )}
        {children}
      </div>
    </div>
  )
}

interface ItemsProps<Row> {
  readonly label: string
  readonly rows: readonly Row[]
  readonly id: (row: Row) => string
  readonly chosen: string | null
  readonly to: string
  /** The parameter of the URL that names an entry. */
  readonly as: string
  readonly children: (row: Row) => ReactNode
}

/** Entries that are opened beside their list. */
export function Items<Row>({ label, rows, id, chosen, to, as, children }: ItemsProps<Row>) {
  return (
    <ul className="items" aria-label={label}>
      {rows.map((row) => (
        <li key={id(row)}>
          <Link to={to} with={{ [as]: id(row) }} aria-current={id(row) === chosen ? 'true' : undefined}>
            {children(row)}
          </Link>
        </li>
      ))}
    </ul>
  )
}

/** Opens the form of another entry. `forbidden`: why these credentials may not. */
export function NewButton({ to, forbidden, children }: { to: string; forbidden?: string | false; children: ReactNode }) {
  return (
    <button
      type="button"
      className="primary"
      disabled={Boolean(forbidden)}
      title={forbidden || undefined}
      onClick={() => go(href(to, { new: 1 }))}
    >
      {children}
    </button>
  )
}

/** Instead of an entry that the URL names and that is not in the list. */
export function NotThere({ title, text, to, all }: { title: string; text: string; to: string; all: string }) {
  return (
    <Panel title={title}>
      <Empty title={text}>
        It was deleted, or never was. <Link to={to}>Look at {all.toLowerCase()}</Link>
      </Empty>
    </Panel>
  )
}
