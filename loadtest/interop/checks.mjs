// What was checked, and did it hold?

import { writeFileSync } from 'node:fs'

/** Runs named checks one after the other and tells of each; `summary` writes the counts for run.sh. */
export class Checks {
  #client
  #passed = 0
  #failed = 0

  constructor(client) {
    this.#client = client
  }

  async check(name, body) {
    try {
      await body()
      this.#passed += 1
      console.log(`  ok    ${name}`)
    } catch (error) {
      this.#failed += 1
      console.log(`  FAIL  ${name}: ${error?.stack ?? error}`)
    }
  }

  /** The closing line; returns the exit code. */
  summary() {
    const total = this.#passed + this.#failed
    console.log(this.#failed === 0 ? `${this.#client}: all ${total} checks hold` : `${this.#client}: ${this.#failed} of ${total} checks FAILED`)
    if (process.env.CARILLON_RESULT) writeFileSync(process.env.CARILLON_RESULT, `${this.#passed} ${this.#failed}\n`)
    return this.#failed === 0 ? 0 : 1
  }
}

/** The promise, or an error that says what did not happen in time. */
export function within(milliseconds, what, promise) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${milliseconds} ms`)), milliseconds)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

/** Waits for a condition. */
export async function until(milliseconds, what, condition) {
  const deadline = Date.now() + milliseconds
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${milliseconds} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
