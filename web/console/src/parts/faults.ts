// Which faults of an answer stand at which field?

import type { Fault, Problem } from '../problem.js'

/** A JSON pointer, or the name of a parameter or of a header. */
export const placeOf = (fault: Fault) => fault.pointer || fault.parameter || fault.header || ''

/** Whether a fault stands at one of these places, or in what is there: at an entry of a list, say. */
export const isAt = (fault: Fault, places: readonly string[]) =>
  places.some((place) => placeOf(fault) === place || placeOf(fault).startsWith(`${place}/`))

/** Whether all that is wrong stands at these places: then nothing else has to say so. */
export const areAllAt = (problem: Problem | null, places: readonly string[]) =>
  problem !== null && problem.errors.length > 0 && problem.errors.every((fault) => isAt(fault, places))

/** The faults at a place and in what is there, in words; null: there are none. `except`: places in it that have a field of their own. */
export function faultOf(problem: Problem | null, place: string, except: readonly string[] = []): string | null {
  const found = problem?.errors.filter((fault) => isAt(fault, [place]) && !isAt(fault, except)) ?? []
  if (found.length === 0) return null
  return found
    .map((fault) => {
      const rest = placeOf(fault).slice(place.length + 1)
      return rest ? `${/^\d+$/.test(rest) ? `entry ${Number(rest) + 1}` : rest}: ${fault.detail}` : fault.detail
    })
    .join('; ')
}

/** Entries of a field that has commas or lines between them. */
export const entriesOf = (text: string) =>
  text
    .split(/[,\n]/)
    .map((entry) => entry.trim())
    .filter(Boolean)
