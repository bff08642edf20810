/** How are rows there at once, as a server rendered them, and the code that keeps them right only when somebody listens? */

import { lazy, once } from './lazy.js'
import type { LiveHost } from './live.js'
import { parsePosition } from './position.js'
import type { Live, LiveOptions, LiveSnapshot } from './types.js'

const NOTHING = Object.freeze({ status: 'loading', value: undefined, error: null, position: null })

export function lazyLive<State>(host: LiveHost, options: LiveOptions<State> & { channels?: readonly string[] }): Live<State> {
  const live = lazy(async () => (await import('./live.js')).createLive<State>(host, options, person), host.report)
  const person = host.person()
  const { initial } = options
  const position = parsePosition(initial?.position)
  const first: LiveSnapshot<State> =
    initial && position ? Object.freeze({ status: 'live', value: initial.value, error: null, position }) : NOTHING
  return {
    get snapshot() {
      return live.now ? live.now.snapshot : person === host.person() ? first : NOTHING
    },
    on(listener) {
      // Now, so that the channels go with what else is asked for in this turn.
      const release = host.hold(options.channels ?? null)
      const undo = live.later((made) => made.on(listener))
      return once(() => {
        undo()
        release()
      })
    },
    reload: async () => live.now?.reload(),
    patch: (change) => live.later((made) => made.patch(change)),
  }
}
