// How is a client of any language used? As a process that is told what to emit, line by line, and tells what comes.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { until } from '../interop/checks.mjs'

export const PATIENCE = 20_000

export class Client {
  /** Everything it has told, in order. */
  told = []
  #calls = 0

  constructor({ command, env = {}, unordered }, { url, auth, transports = 'websocket', namespace = '', resume = false }) {
    /** Whether its library calls handlers in any order. */
    this.unordered = Boolean(unordered)
    this.child = spawn(command[0], command.slice(1), {
      stdio: ['pipe', 'pipe', process.env.SIO_TALK ? 'inherit' : 'ignore'],
      env: {
        ...process.env, ...env,
        SIO_URL: url, SIO_AUTH: JSON.stringify(auth), SIO_TRANSPORTS: transports, SIO_NAMESPACE: namespace, SIO_RESUME: resume ? '1' : '',
      },
    })
    this.child.stdin.on('error', () => {})
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      if (process.env.SIO_TALK) console.log(`    ${line.slice(0, 300)}`)
      try { this.told.push(JSON.parse(line)) } catch { /* what a library prints by itself */ }
    })
  }

  /** Waits until it has told something of which this is true, and returns it. */
  async until(what, condition, patience = PATIENCE) {
    let found
    await until(patience, what, () => (found = this.told.find(condition)) || this.child.exitCode !== null)
    if (!found) throw new Error(`${what}: the client ended`)
    return found
  }

  async connected() {
    const { connect, ...other } = await this.until('a connection', ({ connect, refused, gave_up }) => connect || refused?.data || gave_up)
    if (!connect) throw new Error(`not connected: ${JSON.stringify(other)}`)
    return connect
  }

  /** How often it was connected. */
  get connections() {
    return this.told.filter(({ connect }) => connect).length
  }

  emit(name, ...args) {
    this.child.stdin.write(`${JSON.stringify({ emit: name, args })}\n`)
  }

  /** Emits with a callback and returns what the callback got. */
  async call(name, ...args) {
    const call = (this.#calls += 1)
    this.child.stdin.write(`${JSON.stringify({ emit: name, args, call })}\n`)
    const { args: answer } = await this.until(`the answer to ${name}`, ({ answer }) => answer === call)
    // Some libraries tell the arguments as one list.
    return Array.isArray(answer[0]) && answer.length === 1 ? answer[0] : answer
  }

  /** The data of all events of this name, in the order in which they came. */
  events(name) {
    return this.told.filter(({ event }) => event === name).map(({ args }) => args)
  }

  end() {
    this.child.kill('SIGKILL')
  }
}
