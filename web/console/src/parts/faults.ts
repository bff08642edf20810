// Which faults of an answer belong to one field?

import type { Problem } from '../problem.js'

export const isUnder = (place: string, root: string) => place === root || place.startsWith(`${root}/`)

/** The faults at `root` and in it, in words: of an entry of a list, say. */
export function faultsUnder(problem: Problem | null, root: string): string | null {
  const found = problem?.errors.filter((fault) => isUnder(fault.pointer ?? '', root)) ?? []
  if (found.length === 0) return null
  return found
    .map(({ pointer = '', detail }) => {
      const rest = pointer.slice(root.length + 1)
      return rest ? `${/^\d+$/.test(rest) ? `entry ${Number(rest) + 1}` : rest}: ${detail}` : detail
    })
    .join('; ')
}

/** Entries of a field that has commas or lines between them. */
export const entriesOf = (text: string) =>
  text
    .split(/[,\n]/)
    .map((entry) => entry.trim())
    .filter(Boolean)
