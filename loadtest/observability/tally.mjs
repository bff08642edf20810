// How is a check counted? One line for what fails and why, one line at the end.

/** Counts checks; each is a name and what is wrong, nothing if it holds. */
export class Tally {
  #passed = 0
  #failed = 0

  /** Counts one check and returns whether it holds. */
  check(name, faults) {
    const wrong = [faults].flat().filter(Boolean)
    if (wrong.length === 0) {
      this.#passed += 1
      return true
    }
    this.#failed += 1
    console.log(`FAILED ${name}`)
    for (const fault of wrong) console.log(`       ${fault}`)
    return false
  }

  /** Says something that is no verdict. */
  note(text) {
    console.log(`note   ${text}`)
  }

  /** The last line, and the exit code. */
  end() {
    console.log(`${this.#passed} passed, ${this.#failed} failed`)
    process.exitCode = this.#failed === 0 ? 0 : 1
  }
}
