// Where is the stack, and how does the test publish to it?

/** Addresses and keys, from the environment run.sh sets. */
export const stack = {
  gateways: need('CARILLON_GATEWAYS').split(','),
  balancer: need('CARILLON_BALANCER'),
  /** Process ids by name, of the beginning. */
  pids: JSON.parse(need('CARILLON_PIDS')),
  publisher: need('CARILLON_PUBLISHER'),
  apiKey: need('CARILLON_API_KEY'),
  tenant: need('CARILLON_TENANT'),
  token: need('CARILLON_TOKEN'),
  /** Of the same person, also for a second tenant, whose name ends in `-2`; only the foreign clients' run has one. */
  get tokenOfTwo() {
    return need('CARILLON_TOKEN_OF_TWO')
  },
}

export function need(name) {
  const value = process.env[name]
  if (!value) throw new Error(`${name} is not set; start this through run.sh`)
  return value
}

/** The names of the gateways that answer. */
export async function alive() {
  const answers = await Promise.all(stack.gateways.map((url) => fetch(url.replace('ws:', 'http:')).catch(() => null)))
  return answers.flatMap((answer, place) => (answer ? [`gateway-${place + 1}`] : []))
}

/** Ends a gateway at once, without a farewell; it stays away. */
export async function kill(node) {
  // Another client's checks may have ended it: its process id could be anybody's by now.
  if (!(await alive()).includes(node)) throw new Error(`${node} does not run`)
  process.kill(stack.pids[node], 'SIGKILL')
}

/** Publishes one event and returns its acknowledgement. */
export async function publish(event) {
  const answer = await fetch(`${stack.publisher}/v1/events`, {
    method: 'POST',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify({ tenant: stack.tenant, data: {}, ...event }),
  })
  if (answer.status !== 201) throw new Error(`publish: HTTP ${answer.status} ${await answer.text()}`)
  return answer.json()
}

/** Sets a channel rule. */
export async function setRule(pattern, rule) {
  const answer = await fetch(`${stack.publisher}/v1/channel-rules/${encodeURIComponent(pattern)}?tenant=${stack.tenant}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(rule),
  })
  if (answer.status !== 200) throw new Error(`rule: HTTP ${answer.status} ${await answer.text()}`)
}

/** Publishes without a pause: to `contact:1`, to everyone, and to a channel nobody here is in, in turn. */
export class Flow {
  /** The acknowledged seqs that are for a client in `contact:1`, ascending. */
  ours = []
  #going = true
  #done

  start() {
    this.#done = this.#publish()
    // An error is thrown by stop(); until then it is not unhandled.
    this.#done.catch(() => {})
    return this
  }

  async #publish() {
    for (let n = 0; this.#going; n += 1) {
      const target = [{ channels: ['contact:1'] }, { tenant_wide: true }, { channels: ['contact:2'] }][n % 3]
      const { seq } = await publish({ type: 'message.received', data: { n }, ...target })
      if (n % 3 !== 2) this.ours.push(seq)
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
  }

  /** Ends and returns what is to be seen. */
  async stop() {
    this.#going = false
    await this.#done
    return this.ours
  }
}

/** The address with a query. */
export function address(gateway, query = {}) {
  const url = new URL(gateway)
  for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value)
  return url.href
}
