/** How does a client say something: publish, and what has an answer? */

import { CarillonError } from './errors.js'
import type { Kit } from './features.js'
import type { Frame } from './transport.js'
import type { Published, PublishOptions } from './types.js'

export function createSpeaking({ connect, connection, states }: Kit, goesOn: () => void) {
  async function send(frame: object): Promise<Frame> {
    goesOn()
    if (!connection()) connect()
    const now = connection()
    if (now) return now.request(frame)
    // The token that says which tabs belong together is on its way.
    return new Promise((resolve, reject) => {
      const stop = states.add(({ status, reason }) => {
        const now = connection()
        if (!now && status === 'connecting') return
        stop()
        if (now) resolve(now.request(frame))
        else reject(new CarillonError('closed', reason))
      })
    })
  }

  return {
    send,
    async publish(channel: string, type: string, data?: unknown, given: PublishOptions = {}): Promise<Published> {
      // `randomUUID` is there in secure pages alone.
      const { id = crypto.getRandomValues(new Uint32Array(4)).join('-'), ephemeral, echo } = given
      const { event, seq, epoch, degraded } = await send({ type: 'publish', channel, event: { type, data, id }, ephemeral, echo })
      return { id: event ?? id, ...(seq !== undefined && { seq, epoch }), ...(degraded && { degraded }) }
    },
    async activity(name: string, data?: object) {
      await send({ type: 'activity', name, data })
    },
    async ping() {
      const began = performance.now()
      await send({ type: 'ping' })
      return performance.now() - began
    },
  }
}
