// Has a reader of a tenant seen every number once and in order?
//
// No k6 in here: this is the rule that all scripts share, and `node --test` checks it (sequence.test.mjs).

/** What one reader has seen. Its readers get every event of the tenant, so a number that is missing is a loss. */
export class Sequence {
  /** Begins after `cursor`. */
  constructor(cursor) {
    this.cursor = cursor
    /** Events that came. */
    this.events = 0
    /** Numbers that were jumped over. */
    this.gaps = 0
    /** Events whose number was not above the one before: twice, or out of order. */
    this.repeats = 0
  }

  /** An event came. */
  take(seq) {
    this.events += 1
    if (seq <= this.cursor) {
      this.repeats += 1
      return
    }
    this.gaps += seq - this.cursor - 1
    this.cursor = seq
  }

  /** The server says that everything up to `seq` was sent. */
  told(seq) {
    if (seq <= this.cursor) return
    this.gaps += seq - this.cursor
    this.cursor = seq
  }

  /** Continuity ended; the numbers go on after `seq`. */
  reset(seq) {
    this.cursor = seq
  }

  /** How many events are missing until `head`. */
  behind(head) {
    return Math.max(0, head - this.cursor)
  }
}
