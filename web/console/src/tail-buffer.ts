// Which events does the live tail hold, and which of them does it show?
//
// The newest 100,000, and at most 64 MiB of what they say: of a larger event its beginning is kept, and the rest is fetched when somebody
// looks at it. What is held does not depend on what is shown: filters and a pause change the view alone, so nothing is lost by them.

import type { CarillonEvent } from '@carillon/client'

export interface Row {
  /** Counts what was received, from 1. */
  readonly n: number
  readonly event: CarillonEvent
  /** When it came here, in milliseconds since 1970. */
  readonly at: number
  /** Its data as JSON; of a large one the beginning. */
  readonly text: string
  readonly isCut: boolean
}

export interface TailFilter {
  /** A type, or the beginning of one with a `*`. */
  readonly type: string
  readonly channel: string
  readonly user: string
  readonly text: string
}

export const MOST_ROWS = 100_000
const MOST_CHARACTERS = 32 * 1024 * 1024
/** Characters of the data that are kept of one event. */
const CUT = 4_096
/** Rows that are looked at in one go when a filter changes: the page stays quick meanwhile. */
const SLICE = 20_000

function rowOf(event: CarillonEvent, n: number, at: number): Row {
  const whole = event.data === undefined ? '' : (JSON.stringify(event.data) ?? '')
  const isCut = whole.length > CUT
  // Without its data a large event is small; what is cut out of a long text would keep all of it in memory.
  const kept = isCut ? (Object.freeze({ ...event, data: undefined }) as CarillonEvent) : event
  return { n, event: kept, at, text: isCut ? structuredClone(whole.slice(0, CUT)) : whole, isCut }
}

function matches({ event, text }: Row, filter: TailFilter): boolean {
  const { type, channel, user } = filter
  if (type && !(type.endsWith('*') ? event.type.startsWith(type.slice(0, -1)) : event.type === type)) return false
  if (channel && !event.channels.includes(channel)) return false
  if (user && event.actor !== user && !event.channels.includes(`user:${user}`)) return false
  if (!filter.text) return true
  const wanted = filter.text.toLowerCase()
  return (
    text.toLowerCase().includes(wanted) ||
    event.type.toLowerCase().includes(wanted) ||
    event.id.toLowerCase().includes(wanted) ||
    event.source.toLowerCase().includes(wanted) ||
    (event.actor?.toLowerCase().includes(wanted) ?? false) ||
    event.channels.some((name) => name.toLowerCase().includes(wanted))
  )
}

const isEmpty = (filter: TailFilter) => !filter.type && !filter.channel && !filter.user && !filter.text

export class TailBuffer {
  /** All that is held, oldest first. */
  private rows: Row[] = []
  /** Those that the filter lets through, oldest first. */
  private found: Row[] = []
  private characters = 0
  private filter: TailFilter = { type: '', channel: '', user: '', text: '' }
  /** From here on rows were not looked at yet. */
  private looked = 0
  received = 0

  get held(): number {
    return this.rows.length
  }

  add(event: CarillonEvent, at: number) {
    this.received += 1
    const row = rowOf(event, this.received, at)
    this.rows.push(row)
    this.characters += row.text.length
    // A tenth more before anything is moved: then it costs next to nothing for each event.
    if (this.rows.length > MOST_ROWS * 1.1 || this.characters > MOST_CHARACTERS) this.shed()
  }

  private shed() {
    let gone = Math.max(0, this.rows.length - MOST_ROWS)
    let freed = 0
    for (let n = 0; n < gone; n += 1) freed += this.rows[n]!.text.length
    while (this.characters - freed > MOST_CHARACTERS * 0.9 && gone < this.rows.length - 1) {
      freed += this.rows[gone]!.text.length
      gone += 1
    }
    this.characters -= freed
    this.rows = this.rows.slice(gone)
    this.looked = Math.max(0, this.looked - gone)
    const first = this.rows[0]?.n ?? 0
    let old = 0
    while (old < this.found.length && this.found[old]!.n < first) old += 1
    if (old > 0) this.found = this.found.slice(old)
  }

  setFilter(filter: TailFilter) {
    this.filter = filter
    this.found = []
    this.looked = 0
  }

  clear() {
    this.rows = []
    this.found = []
    this.characters = 0
    this.looked = 0
  }

  /** Looks at what was not looked at yet, a slice at a time. True: there is more. */
  look(): boolean {
    const end = Math.min(this.rows.length, this.looked + SLICE)
    const all = isEmpty(this.filter)
    for (let n = this.looked; n < end; n += 1) {
      const row = this.rows[n]!
      if (all || matches(row, this.filter)) this.found.push(row)
    }
    this.looked = end
    return end < this.rows.length
  }

  /** What is shown now, oldest first. It grows: who wants to keep it takes a copy. */
  get shown(): readonly Row[] {
    return this.found
  }
}
