/** How is a place in the log written, and which of two is further? */

import type { Position, PositionLike } from './types.js'

/** `<epoch>:<seq>`, as `Carillon-Position` has it; null if it is none. */
export function parsePosition(text: PositionLike | null | undefined): Position | null {
  if (typeof text === 'object') return text
  const [, epoch, seq] = /^([\w-]{1,32}):(\d{1,15})$/.exec(text ?? '') ?? []
  return epoch ? { epoch, seq: Number(seq) } : null
}

/** A position as the text `<epoch>:<seq>`. */
export const formatPosition = ({ epoch, seq }: Position): string => `${epoch}:${seq}`

/** Does an event at `seq` come after this position? In another epoch nobody knows, and the server has said `reset`. */
export const isAfter = (seq: number, epoch: string, position: Position | null): boolean =>
  !position || position.epoch !== epoch || seq > position.seq
