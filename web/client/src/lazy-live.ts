/** How are rows there at once, as a server rendered them, and the code that keeps them right only when somebody listens? */

import type { Kit, Reading } from './features.js'
import { lazy } from './lazy.js'
import { all, type Listeners } from './listeners.js'
import { parsePosition } from './position.js'
import type { Live, LiveOptions, LiveSnapshot, Position } from './types.js'

const NOTHING = Object.freeze({ status: 'loading', value: undefined, error: null, position: null })

export function lazyLive<State>(
  kit: Kit,
  reading: Reading,
  starts: Listeners<Position>,
  options: LiveOptions<State> & { channels?: readonly string[] },
): Live<State> {
  const live = lazy(async () => {
    const { createLive, hostOf } = await import('./live.js')
    return createLive<State>(hostOf(kit, reading, starts), options, person)
  }, kit.thrown)
  const person = kit.gone()
  const { initial } = options
  const position = parsePosition(initial?.position)
  const first: LiveSnapshot<State> =
    initial && position ? Object.freeze({ status: 'live', value: initial.value, error: null, position }) : NOTHING
  return {
    get snapshot() {
      return live.now ? live.now.snapshot : person === kit.gone() ? first : NOTHING
    },
    on(listener) {
      // Now, so that the channels go with what else is asked for in this turn.
      kit.wake()
      const held = (options.channels ?? []).map((name) => kit.channels.channel(name).join())
      return all(
        live.later((made) => made.on(listener)),
        ...held,
      )
    },
    reload: async () => live.now?.reload(),
    patch: (change) => live.later((made) => made.patch(change)),
  }
}
