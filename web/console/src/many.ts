// How is a list read that the API gives in pages?

import { useCallback, useState } from 'react'
import { type Asked, type AskOptions, useAsk } from './ask.js'

export interface Rows<Row> {
  readonly rows: readonly Row[]
  /** Whether there are more than these. */
  readonly hasMore: boolean
}

export interface Many<Row> extends Asked<Rows<Row>> {
  readonly more: () => void
}

/** `load` reads one page: `next` is where the one after it begins, null after the last. Another `key` begins with the first page. */
export function useMany<Row>(
  key: string | null,
  load: (after: string | null, signal: AbortSignal) => Promise<{ readonly rows: readonly Row[]; readonly next: string | null }>,
  options?: AskOptions,
): Many<Row> {
  const [held, hold] = useState({ key, pages: 1 })
  const pages = held.key === key ? held.pages : 1
  const asked = useAsk(
    key,
    async (signal) => {
      const rows: Row[] = []
      let after: string | null = null
      for (let page = 0; page < pages; page++) {
        const answer = await load(after, signal)
        rows.push(...answer.rows)
        after = answer.next
        if (after === null) break
      }
      return { rows, hasMore: after !== null }
    },
    options,
  )
  const { reload } = asked
  const more = useCallback(() => {
    hold({ key, pages: pages + 1 })
    reload()
  }, [key, pages, reload])
  return { ...asked, more }
}
