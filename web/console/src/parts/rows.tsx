// How are a hundred thousand rows shown? Only those in sight are drawn; all are of one height.

import { type KeyboardEvent, type ReactNode, type RefObject, useEffect, useState } from 'react'

interface RowsProps<Row> {
  readonly label: string
  readonly count: number
  /** 0 is the first at the top. */
  readonly row: (at: number) => Row | undefined
  readonly id: (row: Row) => number
  readonly draw: (row: Row) => ReactNode
  readonly height: number
  readonly selected: number | null
  readonly select: (row: Row) => void
  readonly place: RefObject<HTMLDivElement | null>
  readonly onScroll: (top: number) => void
}

/** Drawn above and below of what is in sight. */
const MORE = 8

export function Rows<Row>({ label, count, row, id, draw, height, selected, select, place, onScroll }: RowsProps<Row>) {
  const [view, setView] = useState({ top: 0, size: 600 })
  useEffect(() => {
    const box = place.current
    if (!box) return
    const look = () => setView({ top: box.scrollTop, size: box.clientHeight })
    look()
    const size = new ResizeObserver(look)
    size.observe(box)
    return () => size.disconnect()
  }, [place])
  const first = Math.max(0, Math.floor(view.top / height) - MORE)
  const last = Math.min(count, Math.ceil((view.top + view.size) / height) + MORE)
  const seen: { at: number; row: Row }[] = []
  for (let at = first; at < last; at += 1) {
    const found = row(at)
    if (found !== undefined) seen.push({ at, row: found })
  }
  const press = (event: KeyboardEvent<HTMLDivElement>) => {
    const box = place.current
    if (!box || !['ArrowDown', 'ArrowUp', 'Home', 'Enter'].includes(event.key)) return
    event.preventDefault()
    let at = 0
    if (event.key !== 'Home') {
      const now = selected === null ? -1 : (seen.find((one) => id(one.row) === selected)?.at ?? -1)
      at = now < 0 ? Math.round(box.scrollTop / height) : now + (event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0)
    }
    const next = row(Math.min(Math.max(at, 0), count - 1))
    if (next === undefined) return
    select(next)
    const y = Math.max(at, 0) * height
    if (y < box.scrollTop) box.scrollTop = y
    if (y + height > box.scrollTop + box.clientHeight) box.scrollTop = y + height - box.clientHeight
  }
  const active = selected === null ? undefined : `row-${selected}`
  return (
    <div
      ref={place}
      className="rows"
      role="listbox"
      aria-label={label}
      aria-activedescendant={active}
      tabIndex={0}
      onKeyDown={press}
      onScroll={({ currentTarget }) => {
        setView({ top: currentTarget.scrollTop, size: currentTarget.clientHeight })
        onScroll(currentTarget.scrollTop)
      }}
    >
      <div role="presentation" style={{ height: count * height, position: 'relative' }}>
        {seen.map(({ at, row: one }) => {
          const key = id(one)
          return (
            // biome-ignore lint/a11y/useFocusableInteractive: the list has the focus, and says which option is meant
            // biome-ignore lint/a11y/useKeyWithClickEvents: the list has the keys
            <div
              key={key}
              id={`row-${key}`}
              role="option"
              aria-selected={key === selected}
              className="line"
              style={{ height, transform: `translateY(${at * height}px)` }}
              onClick={() => select(one)}
            >
              {draw(one)}
            </div>
          )
        })}
      </div>
    </div>
  )
}
